// node nostr-tools.mjs URL FRAME < events: syncs by NIP-77 in both directions,
// and prints the ids that it sent and those that it received.
import { readFileSync } from 'node:fs'
import { webcrypto } from 'node:crypto'
import WebSocket from 'ws'
globalThis.crypto ??= webcrypto
const { Relay, useWebSocketImplementation } = await import('nostr-tools/relay')
// The package ships it and does not export it.
const { Negentropy, NegentropyStorageVector, NegentropySync } = await import('./node_modules/nostr-tools/lib/esm/nip77.js')

useWebSocketImplementation(WebSocket)
const [url, frame] = [process.argv[2], Number(process.argv[3])]
const mine = new Map(readFileSync(0, 'utf8').split('\n').filter(Boolean).map(line => {
  const e = JSON.parse(line)
  return [e.id, e]
}))
const storage = new NegentropyStorageVector()
for (const e of mine.values()) storage.insert(e.created_at, e.id)
storage.seal()

const relay = await Relay.connect(url)
const sent = new Set(), need = new Set() // with frame limits an id may be reported twice
await new Promise((resolve, reject) => {
  const sync = new NegentropySync(relay, storage, { kinds: [1] }, {
    onhave: id => sent.add(id),
    onneed: id => need.add(id),
    onclose: why => (why ? reject(new Error(why)) : resolve()),
  })
  sync.neg = new Negentropy(storage, frame)
  sync.start()
})
for (const id of sent) await relay.publish(mine.get(id))
const received = []
for (const ids = [...need]; ids.length > 0;) {
  await new Promise(resolve => {
    const sub = relay.subscribe([{ ids: ids.splice(0, 100) }], {
      onevent: e => received.push(e.id),
      oneose: () => { sub.close(); resolve() },
    })
  })
}
console.log(JSON.stringify({ sent: [...sent], received }))
process.exit(0)
