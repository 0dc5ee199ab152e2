/** What a program without a terminal reads: how much of it the book keeps, and that the program has all of it. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SshBook } from '../../support/ssh-book.ts'
import { sha256 } from '../../support/ssh-clients.ts'
import { closedBook, sshThrough, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const MIB = 1024 * 1024

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => sshd.stop())

/** Never the same mebibyte twice, so that a piece that is lost, doubled or exchanged is seen. */
function numbered(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32BE(at, at)
  return bytes
}

test.each([
  ['all of a mebibyte', MIB, 'keep', MIB],
  ['a mebibyte of one byte more', MIB + 1, 'keep', MIB],
  ['a mebibyte of a hundred', 100 * MIB, 'keep', MIB],
  ['nothing where it shall only be hashed', MIB + 1, 'hash', 0],
] as const)(
  'the book keeps %s, with its length and hash',
  async (_, length, stdin, keeps) => {
    await using gateway = await startSshGateway(sshd, { target: `stdin: ${stdin}` })
    const input = numbered(length)
    const file = join(sshd.folder, 'read')
    const { code } = await sshThrough(sshd, gateway, [`cat > ${file}`], {
      ...{ login: 'alice', input, timeoutMs: 100_000 },
    })
    expect(code).toBe(0)
    const wanted = sha256(input)
    expect(createHash('sha256').update(readFileSync(file)).digest('hex')).toBe(wanted)
    const [operation] = (await closedBook(gateway)).operations
    if (operation === undefined) throw new Error('it is not in the book')
    expect(operation.meta).toEqual({ stdin: { bytes: length, sha256: wanted } })
    const kept = SshBook.stream(operation, 'i')
    expect([kept.length, sha256(kept)]).toEqual([keeps, sha256(input.subarray(0, keeps))])
  },
  120_000,
)
