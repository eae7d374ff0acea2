// node plain.mjs: serves @nostr-relay/core, a relay that knows NIP-01 and no
// NIP-77, on a free port of 127.0.0.1 until its standard input ends, and prints
// its address. Of the relay only the storage is ours: events in memory, of which
// one REQ shows at most 100, without a word.
import { createRequire } from 'node:module'
import { WebSocketServer } from 'ws'
const require = createRequire(import.meta.url)
const { EventRepository, LogLevel } = require('@nostr-relay/common')
const { NostrRelay } = require('@nostr-relay/core')

const page = 100
const matches = (filter, e) =>
  (!filter.authors || filter.authors.includes(e.pubkey)) && (!filter.kinds || filter.kinds.includes(e.kind)) &&
  e.created_at >= (filter.since ?? 0) && e.created_at <= (filter.until ?? Infinity)

class Memory extends EventRepository {
  events = new Map()
  isSearchSupported() { return false }
  upsert(e) {
    const isDuplicate = this.events.has(e.id)
    this.events.set(e.id, e)
    return { isDuplicate }
  }
  find(filter) {
    const from = filter.ids ? filter.ids.map(id => this.events.get(id)).filter(Boolean) : [...this.events.values()]
    return from.filter(e => matches(filter, e))
      .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
      .slice(0, Math.min(filter.limit ?? page, page))
  }
  async destroy() {}
}

const relay = new NostrRelay(new Memory(), { logLevel: LogLevel.ERROR })
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => console.log(`ws://127.0.0.1:${server.address().port}`))
server.on('connection', ws => {
  relay.handleConnection(ws)
  ws.on('message', data => relay.handleMessage(ws, JSON.parse(data)))
  ws.on('close', () => relay.handleDisconnect(ws))
  ws.on('error', () => {})
})
process.stdin.on('end', () => process.exit(0)).resume()
