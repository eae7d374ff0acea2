// node conversation.mjs URL PLAIN < events: publishes them, asks for them, and
// unless PLAIN is true counts them and says who it is, one after the other.
import { readFileSync } from 'node:fs'
import { webcrypto } from 'node:crypto'
import WebSocket from 'ws'
globalThis.crypto ??= webcrypto
const { Relay, useWebSocketImplementation } = await import('nostr-tools/relay')
const { finalizeEvent } = await import('nostr-tools/pure')

useWebSocketImplementation(WebSocket)
const events = readFileSync(0, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line))
const secret = new Uint8Array(32).fill(7)
const relay = await Relay.connect(process.argv[2])
const ask = filter => new Promise(resolve => {
  const list = []
  const sub = relay.subscribe([filter], {
    onevent: e => list.push(e.id),
    oneose: () => { sub.close(); resolve(list) },
    onclose: () => resolve(list),
  })
})
const sent = [], received = []
for (const e of events) {
  await relay.publish(e)
  sent.push(e.id)
}
const forged = { ...events[0], content: 'forged' }
await relay.publish(forged).then(() => { throw new Error('a forged event was accepted') }, () => {})
received.push(...await ask({ kinds: [1], limit: 5 }))
received.push(...await ask({ ids: events.map(e => e.id) }))
if (process.argv[3] !== 'true') {
  await relay.count([{ kinds: [1] }], {})
  await ask({ kinds: [4] })
  // The relay has a name by which it is reached.
  const named = tag => (tag[0] === 'relay' ? ['relay', 'wss://relay.example.com'] : tag)
  await relay.auth(async template => finalizeEvent({ ...template, tags: template.tags.map(named) }, secret))
  await ask({ kinds: [4] })
}
relay.close()
console.log(JSON.stringify({ sent, received }))
process.exit(0)
