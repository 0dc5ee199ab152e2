/**
 * The program in a session's evidence page: checks everything in it with WebCrypto and the public key alone, without
 * a network. It is text, because it runs in whatever browser opens the page; test/src/read/evidence.test.ts runs it.
 * FORMAT.md: 3.2 for checkpoints, 3.4 for changes of key, 4.1 for payloads, 10.2 for the order of checks.
 */
export const EVIDENCE_SCRIPT = String.raw`
'use strict'
const utf8 = new TextEncoder()
const base64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
const text64 = (bytes) => btoa(String.fromCharCode(...bytes))
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]))
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
const hex = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')
const demand = (holds, what) => { if (!holds) throw new Error(what) }

async function keyOf(text) {
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text.trim()) ?? []
  demand(name !== undefined, 'this is not a public key of a book: name+8 hexadecimal digits+base64')
  const bytes = base64(encoded)
  demand(bytes.length === 33 && bytes[0] === 1, 'the key is not an Ed25519 key')
  const digest = await sha256(join(utf8.encode(name + '\n'), bytes))
  demand(hex(digest.slice(0, 4)) === id, 'the key is misspelt: its digits do not belong to it')
  const key = await crypto.subtle.importKey('raw', bytes.slice(1), { name: 'Ed25519' }, false, ['verify'])
  return { name, id, key }
}

async function readNote(note, keys) {
  const cut = note.lastIndexOf('\n\n')
  demand(cut > 0, 'the checkpoint is no signed note')
  const body = note.slice(0, cut + 1)
  const [origin, size, root, ...rest] = body.slice(0, -1).split('\n')
  demand(/^(0|[1-9][0-9]*)$/.test(size) && rest.length === 0, 'the checkpoint has another form')
  for (const { name, id, key } of keys) {
    demand(origin === name, 'the checkpoint is of ' + origin + ', and the key of ' + name)
    const lines = note.slice(cut + 2).split('\n').filter((line) => line.startsWith('\u2014 ' + name + ' '))
    const signatures = lines.map((line) => base64(line.split(' ')[2])).filter((s) => hex(s.slice(0, 4)) === id)
    demand(signatures.length > 0, 'the checkpoint of size ' + size + ' is not signed by the key ' + id)
    for (const signature of signatures) {
      const good = await crypto.subtle.verify('Ed25519', key, signature.slice(4), utf8.encode(body))
      demand(good, 'the signature on the checkpoint of size ' + size + ' is false')
    }
  }
  return { origin, size: Number(size), root: base64(root) }
}

/** RFC 9162, 2.1.3.2 */
async function rootFrom(leafHash, index, size, proof) {
  let fn = index, sn = size - 1, hash = leafHash
  for (const sibling of proof) {
    demand(sn > 0 && sibling.length === 32, 'a proof of the wrong length')
    if (fn % 2 === 1 || fn === sn) {
      hash = await sha256(join([1], sibling, hash))
      while (fn % 2 === 0 && fn !== 0) { fn = Math.floor(fn / 2); sn = Math.floor(sn / 2) }
    } else hash = await sha256(join([1], hash, sibling))
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  demand(sn === 0, 'a proof of the wrong length')
  return hash
}

async function checkLeaf(leafText, seq, proof, checkpoint) {
  const bytes = utf8.encode(leafText)
  const leaf = JSON.parse(leafText)
  const hash = await sha256(join([0], bytes))
  demand(seq < checkpoint.size, 'record ' + seq + ' is behind the checkpoint')
  demand(leaf.seq === seq && leaf.log === checkpoint.origin, 'record ' + seq + ' says that it is another')
  const root = await rootFrom(hash, seq, checkpoint.size, proof)
  demand(hex(root) === hex(checkpoint.root), 'record ' + seq + ' is not in the book as it was signed')
  return { leaf, hash: hex(hash) }
}

function readProof(text) {
  const [head, note] = [text.slice(0, text.indexOf('\n\n')), text.slice(text.indexOf('\n\n') + 2)]
  const [format, index, ...hashes] = head.split('\n')
  demand(format === 'c2sp.org/tlog-proof@v1', 'a proof of another form')
  return { index: Number(/^index ([0-9]+)$/.exec(index)[1]), hashes: hashes.map(base64), note }
}

/** The key that signs a checkpoint of that size: from the first one, by every change that the book itself records. */
async function keyAt(wanted, first, changes) {
  let current = first, size = 0
  for (const change of changes) {
    const { index, hashes, note } = readProof(change.proof)
    const next = await keyOf(JSON.parse(change.leaf).next)
    const checkpoint = await readNote(note, [current, next])
    demand(checkpoint.size > size && index === checkpoint.size - 1, 'a change of key that stands elsewhere')
    const { leaf } = await checkLeaf(change.leaf, index, hashes, checkpoint)
    demand(leaf.kind === 'key.next', 'a change of key that is none')
    size = checkpoint.size
    if (wanted > size) current = next
  }
  return current
}

/** Checks the lines; tells each record as it goes. Throws with the first thing that does not hold. */
async function verifyEvidence(lines, vkey, told = () => {}) {
  const [first, ...records] = lines.map((line) => JSON.parse(line))
  demand(first?.type === 'evidence' && first.v === 1, 'this is no evidence of a session')
  const given = await keyOf(vkey)
  const key = await keyAt(Number(first.checkpoint.split('\n')[1]), given, first.keys)
  const checkpoint = await readNote(first.checkpoint, [key])
  let before = -1, payloads = 0, closed = false
  for (const record of records) {
    const { leaf, hash } = await checkLeaf(record.leaf, record.seq, record.proof.map(base64), checkpoint)
    demand(record.seq > before, 'records out of order')
    demand(leaf.sid === first.session, 'record ' + record.seq + ' is of another session')
    demand(before !== -1 || leaf.kind === 'session.open', 'the session does not begin with its opening')
    for (const payload of record.payloads) {
      if (payload.data === undefined) continue
      const ref = (leaf.ref ?? []).find((one) => one.i === payload.i)
      const bytes = base64(payload.data)
      demand(ref !== undefined && ref.n === bytes.length, 'payload ' + payload.i + ' is not the one of record ' + record.seq)
      demand(text64(await sha256(bytes)) === ref.h, 'payload ' + payload.i + ' of record ' + record.seq + ' was changed')
      payloads++
    }
    before = record.seq
    closed = leaf.kind === 'session.close'
    told({ leaf, hash, record })
  }
  demand(before !== -1, 'there is no record in it')
  return { origin: checkpoint.origin, size: checkpoint.size, records: records.length, payloads, closed }
}
`

/** What binds the program to the page. Everything recorded gets into the page as text. */
export const EVIDENCE_PAGE_SCRIPT = String.raw`
const lines = JSON.parse(document.getElementById('evidence').textContent)
const $ = (id) => document.getElementById(id)
const shown = (text) => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) => (c === '\n' || c === '\t' ? c : '<U+' + c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0') + '>'))
const cell = (row, text) => { const td = document.createElement('td'); td.textContent = shown(text); row.append(td) }
async function check() {
  $('rows').replaceChildren()
  $('verdict').className = ''
  $('verdict').textContent = 'Checking …'
  try {
    demand(globalThis.crypto?.subtle !== undefined, 'this browser offers no cryptography here; open the file in another')
    const found = await verifyEvidence(lines, $('key').value, ({ leaf, hash, record }) => {
      const row = document.createElement('tr')
      cell(row, new Date(leaf.ts / 1000).toISOString())
      cell(row, record.seq + '-' + hash.slice(0, 8))
      cell(row, [leaf.kind, leaf.act, leaf.out, leaf.code].filter((one) => one !== undefined).join(' '))
      cell(row, record.payloads.map((p) => p.text ?? (p.withheld === undefined ? '(' + p.t + ')' : '(' + p.t + ' ' + p.withheld + ')')).join('\n'))
      $('rows').append(row)
    })
    $('verdict').className = 'good'
    $('verdict').textContent = 'Holds: ' + found.records + ' records and ' + found.payloads + ' sealed payloads are in the book ' +
      found.origin + ' as it was signed at ' + found.size + ' records.' + (found.closed ? '' : ' The session had not ended.')
  } catch (error) {
    $('verdict').className = 'bad'
    $('verdict').textContent = 'Does not hold: ' + error.message
  }
}
$('check').addEventListener('click', check)
$('own').addEventListener('click', () => { $('key').value = $('own').dataset.key; check() })
`
