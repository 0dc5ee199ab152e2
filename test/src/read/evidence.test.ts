import { createContext, runInContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatVkey, parseVkey } from '../../../src/book/checkpoint.ts'
import { Kek } from '../../../src/book/keys.ts'
import { verifyProof } from '../../../src/book/verify-proof.ts'
import { evidencePage } from '../../../src/read/evidence-page.ts'
import { EVIDENCE_SCRIPT } from '../../../src/read/evidence-script.ts'
import { Indexing } from '../../../src/read/follow-index.ts'
import type { Asker } from '../../../src/read/questions.ts'
import { Reader } from '../../../src/read/reader.ts'
import { OWN_SESSIONS_ONLY } from '../../../src/read/rights.ts'
import { loadUnderstanding } from '../../../src/wiring/understanding.ts'
import { KEK_BYTES } from '../../support/books.ts'
import { NOW } from '../../support/random-query.ts'
import { type Play, playReading } from '../../support/reading-book.ts'
import { newBookForFile } from '../../support/recorder.ts'

type Verify = (
  lines: readonly string[],
  vkey: string,
) => Promise<{ records: number; payloads: number; size: number }>

/** The page's own program, as a browser runs it. */
const context = createContext({ crypto, TextEncoder, atob, btoa })
runInContext(EVIDENCE_SCRIPT, context)
const verify = runInContext('verifyEvidence', context) as Verify

const ASKER: Asker = { sub: 'local', rights: { ...OWN_SESSIONS_ONLY, all: true } }
const kek = new Kek(Buffer.from(KEK_BYTES))
let play: Play
let reader: Reader
let remove: () => void
let vkey: string
let sid: string
let lines: readonly string[]

beforeAll(async () => {
  const book = newBookForFile()
  remove = book.remove
  play = playReading(book.directory, 30, 31)
  vkey = play.book.keeper.ready.vkey
  // The book changes its key, so that the evidence must bring the change along.
  play.book.ask({ type: 'rotate-signing-key' })
  play.book.open('standard', { act: 'gateway' })
  play.book.drain()
  const understanding = await loadUnderstanding()
  const indexing = Indexing.open({ directory: book.directory, kek, understanding })
  while (indexing.turn());
  indexing.close()
  reader = new Reader({ directory: book.directory, kek, understanding, now: () => NOW })
  const [session] = reader.answer(
    { type: 'sessions', query: 'ssh.command action:ssh.command', limit: 1 },
    ASKER,
    {},
  ).sessions
  sid =
    session?.session ??
    reader.answer({ type: 'sessions', query: 'action:ssh.command', limit: 1 }, ASKER, {}).sessions[0]
      ?.session ??
    ''
  lines = evidenceOf(sid)
})
afterAll(() => {
  reader.close()
  play.book.stop()
  remove()
})

function evidenceOf(session: string): string[] {
  const all: string[] = []
  let cursor: number | undefined
  let size: number | undefined
  do {
    const page = reader.answer(
      { type: 'evidence', session, ...(cursor === undefined ? {} : { cursor, size }) } as never,
      ASKER,
      {},
    ) as {
      lines: string[]
      next?: number
      size: number
    }
    all.push(...page.lines)
    cursor = page.next
    size = page.size
  } while (cursor !== undefined)
  return all
}

describe('the evidence of a session', () => {
  test('holds, by the first public key alone, over a change of key', async () => {
    const found = await verify(lines, vkey)
    expect(found.records).toBe(lines.length - 1)
    expect(found.payloads).toBeGreaterThan(2)
    expect(JSON.parse(lines[0] ?? '').keys).toHaveLength(1)
  })

  test.each([
    ['a leaf', (text: string) => text.replace(/\\"ts\\":(\d)/, '\\"ts\\":9')],
    ['a sealed payload', (text: string) => text.replace(/"data":"(....)/, '"data":"AAAA')],
    ['a proof', (text: string) => text.replace(/"proof":\["(....)/, '"proof":["AAAA')],
    ['the session', (text: string) => text.replaceAll(sid, 'b'.repeat(16))],
  ])('does not hold with %s changed', async (_, change) => {
    const changed = lines.map((line, k) => (k === 1 ? change(line) : line))
    expect(changed).not.toEqual(lines)
    await expect(verify(changed, vkey)).rejects.toThrow()
  })

  test('does not hold under another key, without its beginning, or with records exchanged', async () => {
    const [first = '', opening = '', second = '', ...rest] = lines
    const other = vkey.replace(/\+[0-9a-f]{8}\+/, '+00000000+')
    await expect(verify(lines, other)).rejects.toThrow('misspelt')
    await expect(verify([first, second, ...rest], vkey)).rejects.toThrow('does not begin with its opening')
    await expect(verify([first, opening, ...rest, second], vkey)).rejects.toThrow()
    const headless = JSON.stringify({ ...JSON.parse(first), keys: [] })
    await expect(verify([headless, opening, second], vkey)).rejects.toThrow('not signed by the key')
  })

  test('stands in a page that says where the key must come from, and in which nothing recorded is markup', () => {
    const hostile = ['</script><script>alert(1)</script>', '<!--']
    const page = evidencePage(sid, vkey, [...lines, JSON.stringify(hostile)])
    expect(page).toContain('The public key must come from elsewhere')
    expect(page).toContain("default-src 'none'")
    expect(page.match(/<script/g)).toHaveLength(2)
    expect(page.match(/<\/script>/g)).toHaveLength(2)
    expect(page).not.toContain('<!--')
  })
})

test('the proof of any record holds by the first key', () => {
  const key = parseVkey(vkey)
  expect(formatVkey(key)).toBe(vkey)
  for (const record of [`${sid}.1`, '5', '40']) {
    const { proof } = reader.answer({ type: 'proof', record, payloads: true }, ASKER, {})
    expect(verifyProof(proof, key).findings).toEqual([])
  }
})
