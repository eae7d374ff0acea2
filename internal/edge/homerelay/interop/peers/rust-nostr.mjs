// node rust-nostr.mjs URL < events: syncs by NIP-77 in both directions, and
// prints the ids that it sent and those that it received.
import { readFileSync } from 'node:fs'
import { webcrypto } from 'node:crypto'
import 'fake-indexeddb/auto'
import WebSocket from 'ws'
// It is made for browsers.
globalThis.crypto ??= webcrypto
globalThis.WebSocket ??= WebSocket
globalThis.window ??= globalThis
globalThis.self ??= globalThis
const nostr = await import('@rust-nostr/nostr-sdk')

await nostr.loadWasmAsync()
const db = await nostr.NostrDatabase.indexeddb('interop')
for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  await db.save_event(nostr.Event.fromJson(line))
}
const client = new nostr.ClientBuilder().database(db).build()
await client.addRelay(process.argv[2])
await client.connect()
const out = await client.sync(new nostr.Filter(), new nostr.SyncOptions().direction(nostr.SyncDirection.Both))
if (out.failed.length > 0) throw new Error(out.failed[0].error)
const ids = list => list.map(id => id.toHex())
console.log(JSON.stringify({ sent: ids(out.report.sent), received: ids(out.report.received) }))
process.exit(0)
