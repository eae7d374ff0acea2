// A second implementation of docs/spec/list-index.md, on npm's bittorrent-dht and nostr-tools alone:
//   node list-index.mjs vectors FILE                     checks infohashes and resolving by the vectors of the specification
//   node list-index.mjs resolve BOOTSTRAP NPUB           finds indexes and prints the author's newest list as JSON
//   node list-index.mjs serve BOOTSTRAP HOST LIST-JSON   is an index with one list, announced, until stdin ends
// The network is one on loopback: addresses are not checked for what may be dialled.
import crypto from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import DHT from 'bittorrent-dht'
import { WebSocket, WebSocketServer } from 'ws'
import { finalizeEvent, generateSecretKey, matchFilters, nip19, verifyEvent } from 'nostr-tools'

const now = () => Math.floor(Date.now() / 1000)
const sha1 = text => crypto.createHash('sha1').update(text).digest()
const later = ms => new Promise(resolve => setTimeout(resolve, ms))

function infohashes (at, announce) {
  const list = []
  for (let n = 0; n < 8; n++) list.push(sha1(`nostr:list-index:1:${n}`))
  const week = t => Math.floor(t / 604800)
  const weeks = announce && week(at + 6 * 3600) !== week(at) ? [week(at), week(at) + 1] : [week(at)]
  for (const w of weeks) for (let n = 8; n < 16; n++) list.push(sha1(`nostr:list-index:1:${n}:${w}`))
  return list
}

// judge returns the list that wins, and how each answer stands.
function judge (author, answers, at) {
  const lied = answers.map(a => a.some(e => e.pubkey !== author || !verifyEvent(e) || e.created_at > at + 900))
  const valid = answers.flat().filter(e => e.pubkey === author && verifyEvent(e) && e.created_at <= at + 900)
  const lists = valid.filter(e => e.kind === 10002)
  lists.sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
  const newest = lists[0]
  const ending = newest && valid.find(by => by.tags.some(t => by.kind === 5
    ? (t[0] === 'e' && t[1] === newest.id) || (t[0] === 'a' && t[1] === `10002:${author}:` && by.created_at >= newest.created_at)
    : by.kind === 62 && t[0] === 'relay' && t[1] === 'ALL_RELAYS' && by.created_at >= newest.created_at))
  const winner = ending || newest
  const outcomes = answers.map((a, i) =>
    lied[i] ? 'lied' : !winner ? 'nothing' : a.some(e => e.id === winner.id) ? 'delivered' : 'missed')
  return { list: newest && !ending ? newest : null, ended: Boolean(ending), outcomes }
}

function vectors (file) {
  const spec = JSON.parse(fs.readFileSync(file))
  const same = (what, got, want) => {
    if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
  }
  for (const v of spec.infohashes) {
    same('find', infohashes(v.now, false).map(h => h.toString('hex')), v.find)
    same('announce', infohashes(v.now, true).map(h => h.toString('hex')), v.announce)
  }
  if (!verifyEvent(spec.announcement.event)) throw new Error('the announcement does not verify')
  for (const v of spec.resolving) {
    const got = judge(v.author, v.answers, v.now)
    same(v.name, { list: got.list?.id ?? null, ended: got.ended, outcomes: got.outcomes }, { list: v.list, ended: v.ended, outcomes: v.outcomes })
  }
  return { vectors: spec.infohashes.length + spec.resolving.length }
}

function start (bootstrap, host) {
  return new Promise((resolve, reject) => {
    const dht = new DHT({ bootstrap: bootstrap.split(',') })
    dht.on('error', reject)
    dht.on('ready', () => resolve(dht))
    dht.listen(0, host)
  })
}

// ask sends one REQ and returns what comes until EOSE.
function ask (address, ...filters) {
  return new Promise((resolve, reject) => {
    const events = []
    const ws = new WebSocket(`ws://${address}`, { headers: { 'Relaymesh-Hop': '1' }, handshakeTimeout: 2000 })
    const give = setTimeout(() => ws.terminate(), 5000)
    ws.on('error', reject)
    ws.on('open', () => ws.send(JSON.stringify(['REQ', 'x', ...filters])))
    ws.on('message', data => {
      const [label, , event] = JSON.parse(data)
      if (label === 'EVENT') events.push(event)
      if (label === 'EOSE') ws.close()
    })
    ws.on('close', () => { clearTimeout(give); resolve(events) })
  })
}

async function isIndex (address) {
  const info = await fetch(`http://${address}/`, { headers: { Accept: 'application/nostr+json' }, signal: AbortSignal.timeout(3000) })
  const event = (await info.json()).list_index?.announcement
  const has = (name, value) => event.tags.some(t => t[0] === name && t[1] === value)
  return event?.kind === 30166 && verifyEvent(event) && has('T', 'ListIndex') && has('k', '10002')
}

async function resolve (bootstrap, npub) {
  const author = nip19.decode(npub).data
  const dht = await start(bootstrap, '127.0.0.1')
  const named = new Set()
  dht.on('peer', peer => named.add(`${peer.host}:${peer.port}`))
  await Promise.all(infohashes(now(), false).map(hash => new Promise(resolve => dht.lookup(hash, resolve))))
  const indexes = []
  for (const address of named) if (await isIndex(address).catch(() => false)) indexes.push(address)
  const answers = await Promise.all(indexes.slice(0, 6).map(address =>
    ask(address, { authors: [author], kinds: [10002], limit: 1 }, { authors: [author], kinds: [5, 62], limit: 20 }).catch(() => [])))
  dht.destroy()
  const { list } = judge(author, answers, now())
  return { found: list !== null, event: list, relays: (list?.tags ?? []).filter(t => t[0] === 'r').map(t => t[1]), indexes }
}

async function serve (bootstrap, host, listJSON) {
  const list = JSON.parse(listJSON)
  const key = generateSecretKey()
  let announcement
  const server = http.createServer((req, res) => {
    res.setHeader('Content-Type', 'application/nostr+json')
    res.end(JSON.stringify({ name: 'a plain index', list_index: { version: 1, kinds: [10002], announcement } }))
  })
  new WebSocketServer({ server }).on('connection', ws => ws.on('message', data => {
    const [label, id, ...filters] = JSON.parse(data)
    if (label !== 'REQ') return
    for (const e of [list, announcement]) if (matchFilters(filters, e)) ws.send(JSON.stringify(['EVENT', id, e]))
    ws.send(JSON.stringify(['EOSE', id]))
  }))
  await new Promise(resolve => server.listen(0, host, resolve))
  const { port } = server.address()
  const tags = [['d', `ws://${host}:${port}`], ['T', 'ListIndex'], ['N', '1'], ['k', '10002']]
  announcement = finalizeEvent({ kind: 30166, created_at: now(), content: '', tags }, key)
  const dht = await start(bootstrap, host)
  for (const hash of infohashes(now(), true)) await new Promise(resolve => dht.announce(hash, port, resolve))
  console.log(JSON.stringify({ url: `ws://${host}:${port}` }))
  for await (const _ of process.stdin); // until the test ends
}

const [command, ...args] = process.argv.slice(2)
const answer = await { vectors, resolve, serve }[command](...args)
await later(50)
process.stdout.write(JSON.stringify(answer ?? {}) + '\n', () => process.exit(0))
