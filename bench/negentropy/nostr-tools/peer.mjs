// An initiator of nostr-tools that speaks the line protocol of the conformance
// suite, with one addition: "reset,<frame limit>" starts the next session.
import { createInterface } from 'node:readline'
import { Negentropy, NegentropyStorageVector } from './node_modules/nostr-tools/lib/esm/nip77.js' // not among the package's exports

let storage, session, limit
const say = line => process.stdout.write(line + '\n')

for await (const line of createInterface({ input: process.stdin })) {
  const [command, first, second] = line.split(',')
  switch (command) {
    case 'reset':
      storage = new NegentropyStorageVector()
      limit = Number(first) || Number.MAX_SAFE_INTEGER
      break
    case 'item':
      storage.insert(Number(first), second)
      break
    case 'seal':
      storage.seal()
      session = new Negentropy(storage, limit)
      break
    case 'initiate':
      say('msg,' + session.initiate())
      break
    case 'msg': {
      const next = session.reconcile(first, id => say('have,' + id), id => say('need,' + id))
      say(next === null ? 'done' : 'msg,' + next)
      break
    }
    default:
      throw new Error('unexpected command ' + command)
  }
}
