import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { Kek } from '../../../src/book/keys.ts'
import { erase, retain, rewrapKeys, rotateSigningKey } from '../../../src/record/administration.ts'
import { systemRandom } from '../../../src/record/random.ts'
import type { Recorder } from '../../../src/record/recorder.ts'
import { OperatorError } from '../../../src/system/operator-error.ts'
import { checkBook } from '../../support/check-book.ts'
import { KEK_BYTES, newBook, plaintexts, startRecorder, text } from '../../support/recorder.ts'

const local = { sub: 'local', reason: 'asked for by the person' }

async function closedSession(recorder: Recorder, statements = 1): Promise<string> {
  const session = await recorder.open({ act: 'pg', mode: 'standard', who: text('{"name":"alice"}') })
  for (let op = 1; op <= statements; op++) {
    session.record({
      type: 'begin',
      op,
      act: 'db.query',
      payloads: [{ type: 'sql', body: text(`SELECT ${op}`) }],
    })
    const mark = session.record({ type: 'end', op, outcome: 'ok' })
    if (op % 30 === 1) await recorder.committed(mark)
  }
  session.close('client')
  return session.sid
}

const payloadsOf = (directory: string, sid: string): unknown => {
  const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
  try {
    return db.prepare('SELECT count(*) FROM payload WHERE sid = ?').pluck().get(sid)
  } finally {
    db.close()
  }
}

describe('erasing', () => {
  test('is recorded with its reason, done when it resolves, and finished', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const [gone, stays] = [await closedSession(recorder), await closedSession(recorder)]
    await erase(recorder, { sids: [gone] }, { ...local, by: ['u_2', 'u_3'] })
    expect([payloadsOf(directory, gone), payloadsOf(directory, stays)]).toEqual([0, 2])
    const { leaves } = checkBook(directory)
    const record = leaves.find(({ kind }) => kind === 'erase')
    expect(record).toMatchObject({
      sid: recorder.gateway.sid,
      sub: 'local',
      by: ['u_2', 'u_3'],
      scope: { sids: [gone] },
    })
    const com = String(
      leaves.find(({ kind, sid }) => kind === 'session.open' && sid === recorder.gateway.sid)?.['com'],
    )
    const { note } = record === undefined ? {} : plaintexts(directory, record, com)
    expect(JSON.parse(String(note))).toEqual({ reason: local.reason })
    const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
    expect(db.prepare('SELECT done FROM deletion').pluck().all()).toEqual([1])
    db.close()
    await recorder.stop()
  })

  test('several at once are all done', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const sids = [await closedSession(recorder), await closedSession(recorder), await closedSession(recorder)]
    await Promise.all(sids.map((sid) => erase(recorder, { sids: [sid] }, local)))
    expect(sids.map((sid) => payloadsOf(directory, sid))).toEqual([0, 0, 0])
    const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
    expect(db.prepare('SELECT done FROM deletion').pluck().all()).toEqual([1, 1, 1])
    db.close()
    checkBook(directory)
    await recorder.stop()
  })

  test('refuses a session that is open or unknown, and records that are not there yet', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const session = await recorder.open({ act: 'pg', mode: 'standard' })
    await expect(erase(recorder, { sids: [session.sid] }, local)).rejects.toThrow(OperatorError)
    await expect(erase(recorder, { refs: [[session.sid, 0]] }, local)).rejects.toThrow('is still open')
    await expect(erase(recorder, { sids: ['aaaaaaaaaaaaaaaa'] }, local)).rejects.toThrow(
      'the book has neither a key nor a payload of session aaaaaaaaaaaaaaaa',
    )
    await expect(erase(recorder, { below: 1000 }, local)).rejects.toThrow('there is no record 1000 yet')
    await recorder.stop()
    expect(checkBook(directory).leaves.filter(({ kind }) => kind === 'erase')).toEqual([])
  })
})

test('old records are removed down to where a commit begins', async () => {
  const directory = newBook()
  const { recorder } = await startRecorder(directory)
  await expect(retain(recorder, 200, local)).rejects.toThrow('only whole tiles of 256 records are')
  const sid = await closedSession(recorder, 300)
  const { below } = await retain(recorder, 200, local)
  expect(below).toBeGreaterThan(150)
  expect(checkBook(directory).leaves[0]?.seq).toBe(below)
  expect(payloadsOf(directory, sid)).toBe(301)
  await recorder.stop()
  checkBook(directory, { closed: true })
})

test('the signing key changes while records come in', async () => {
  const directory = newBook()
  const { recorder } = await startRecorder(directory)
  const first = await rotateSigningKey(recorder, local)
  await closedSession(recorder)
  const second = await rotateSigningKey(recorder, local)
  await recorder.stop()
  const { leaves } = checkBook(directory, { closed: true })
  expect(leaves.filter(({ kind }) => kind === 'key.next').map(({ next }) => next)).toEqual([first, second])
  expect(leaves.filter(({ act }) => act === 'key.rotate')).toHaveLength(2)
})

test('the key that a gateway tells is the first one, whatever it signs with', async () => {
  const directory = newBook()
  const { recorder } = await startRecorder(directory)
  const { vkey } = recorder.opened
  await rotateSigningKey(recorder, local)
  await recorder.stop()
  const again = await startRecorder(directory)
  expect(again.recorder.opened.vkey).toBe(vkey)
})

describe('a new key encryption key', () => {
  const [old, next] = [new Kek(KEK_BYTES), new Kek(Buffer.alloc(32, 9))]

  test('wraps every data key, and each still opens what it did', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const sid = await closedSession(recorder)
    expect(await rewrapKeys(recorder, { from: old, to: next, random: systemRandom() }, local)).toBe(2)
    expect(await rewrapKeys(recorder, { from: old, to: next, random: systemRandom() }, local)).toBe(0)
    await recorder.stop()
    const db = new Sqlite(join(directory, 'keys.db'), { readonly: true })
    const keks = db.prepare('SELECT DISTINCT kek FROM data_key').pluck().all()
    db.close()
    expect(keks).toEqual([next.id])
    const { leaves } = checkBook(directory)
    const com = String(leaves.find((leaf) => leaf.sid === sid)?.['com'])
    const op = leaves.find((leaf) => leaf.sid === sid && leaf.kind === 'op')
    expect(op === undefined ? undefined : String(plaintexts(directory, op, com, next)['sql'])).toBe(
      'SELECT 1',
    )
  })

  test('is refused when the old one is not the one that they are under', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const wrong = new Kek(Buffer.alloc(32, 1))
    await expect(
      rewrapKeys(recorder, { from: wrong, to: next, random: systemRandom() }, local),
    ).rejects.toThrow(OperatorError)
    await recorder.stop()
  })
})
