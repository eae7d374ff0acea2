// DHT nodes of npm's bittorrent-dht, driven by one JSON command a line on stdin; one JSON answer a line on stdout.
import crypto from 'node:crypto'
import readline from 'node:readline'
import DHT from 'bittorrent-dht'

const nodes = []
const clients = []

const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex') // DER before an ed25519 seed
const spki = Buffer.from('302a300506032b6570032100', 'hex') // DER before an ed25519 public key

function verify (sig, message, key) {
  const pub = crypto.createPublicKey({ key: Buffer.concat([spki, key]), format: 'der', type: 'spki' })
  return crypto.verify(null, message, pub, sig)
}

function start (bootstrap) {
  return new Promise((resolve, reject) => {
    const dht = new DHT({ bootstrap, verify })
    dht.on('error', reject)
    dht.listen(0, '127.0.0.1', () => {
      if (dht.ready) resolve(dht)
      else dht.once('ready', () => resolve(dht))
    })
  })
}

const commands = {
  async network ({ size }) {
    const addrs = []
    for (let i = 0; i < size; i++) {
      const dht = await start(addrs.slice(0, 4))
      nodes.push(dht)
      addrs.push(`127.0.0.1:${dht.address().port}`)
    }
    return { addrs }
  },
  async client ({ bootstrap }) {
    return { client: clients.push(await start(bootstrap)) - 1 }
  },
  put ({ client, seed, salt, seq, value }) {
    const secret = crypto.createPrivateKey({ key: Buffer.concat([pkcs8, Buffer.from(seed, 'hex')]), format: 'der', type: 'pkcs8' })
    const k = crypto.createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(spki.length)
    const opts = { k, seq, v: Buffer.from(value), sign: message => crypto.sign(null, message, secret) }
    if (salt) opts.salt = Buffer.from(salt)
    return new Promise((resolve, reject) => {
      clients[client].put(opts, (err, key, n) => err ? reject(err) : resolve({ stored: n, seq }))
    })
  },
  announce ({ client, infohash, port }) {
    return new Promise((resolve, reject) => {
      clients[client].announce(Buffer.from(infohash, 'hex'), port, err => err ? reject(err) : resolve({}))
    })
  },
  peers ({ client, infohash }) {
    const found = new Set()
    const note = (peer, hash) => { if (hash.toString('hex') === infohash) found.add(`${peer.host}:${peer.port}`) }
    clients[client].on('peer', note)
    return new Promise(resolve => {
      clients[client].lookup(Buffer.from(infohash, 'hex'), () => {
        clients[client].off('peer', note)
        resolve({ peers: [...found] })
      })
    })
  },
  get ({ client, key, salt }) {
    const k = Buffer.from(key, 'hex')
    const target = crypto.createHash('sha1').update(k).update(salt).digest()
    const opts = { cache: false }
    if (salt) opts.salt = salt
    return new Promise((resolve, reject) => {
      clients[client].get(target, opts, (err, found) => {
        if (err) return reject(err)
        if (!found) return resolve({ found: false })
        resolve({ found: true, seq: found.seq, value: found.v.toString(), sig: found.sig.toString('hex') })
      })
    })
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer
  try {
    const command = JSON.parse(line)
    answer = await commands[command.op](command)
  } catch (err) {
    answer = { error: String(err) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit(0)
