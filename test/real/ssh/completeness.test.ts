/**
 * What the host saw against what the book says, for random sessions: each program notes on its own side what it was
 * given and what it said, and the book must say the same, byte for byte, and nothing more.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SshBook, type SshOperation } from '../../support/ssh-book.ts'
import { run, sha256 } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, sshThrough, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const SOAK = process.env['GATEBOOK_SOAK'] !== undefined
const SEED = SOAK ? Number(process.env['GATEBOOK_FUZZ_SEED']) : 20261128
const SESSIONS = SOAK ? Number(process.env['GATEBOOK_SESSIONS'] ?? 1000) : 24
const STDIN_KEPT = 1024 * 1024

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => sshd.stop())

const place = (name: string) => join(sshd.folder, name)

interface Exec {
  readonly type: 'exec' | 'terminal'
  readonly input: number
  readonly output: number
  readonly errors: number
  readonly status: number
}

interface Files {
  readonly type: 'sftp'
  readonly sizes: readonly number[]
  readonly remove: boolean
}

const exec: fc.Arbitrary<Exec> = fc.record({
  type: fc.constantFrom('exec', 'terminal'),
  input: fc.oneof(
    fc.integer({ min: 0, max: 5000 }),
    fc.constantFrom(STDIN_KEPT - 1, STDIN_KEPT, STDIN_KEPT + 1),
  ),
  output: fc.integer({ min: 0, max: 300_000 }),
  errors: fc.integer({ min: 0, max: 50_000 }),
  status: fc.integer({ min: 0, max: 120 }),
})
const files: fc.Arbitrary<Files> = fc.record({
  type: fc.constant('sftp'),
  sizes: fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 4 }),
  remove: fc.boolean(),
})

/** Runs at the host: keeps what it reads, and says so much of what it keeps beside. */
const WITNESS = `
import os, sys
name, output, errors, status = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
given = sys.stdin.buffer.read() if not os.isatty(0) else b''
def letters(count): return bytes(97 + b % 26 for b in os.urandom(count))
out, err = letters(output), letters(errors)
for part, bytes_ in (('in', given), ('out', out), ('err', err)):
    open(name + '.' + part, 'wb').write(bytes_)
sys.stdout.buffer.write(out); sys.stdout.buffer.flush()
sys.stderr.buffer.write(err); sys.stderr.buffer.flush()
sys.exit(status)
`

test(
  `${SESSIONS} random sessions, seed ${SEED}: what the host saw is what the book says`,
  async () => {
    writeFileSync(place('witness.py'), WITNESS)
    const gateway = await startSshGateway(sshd)
    const wanted = fc.sample(fc.oneof({ arbitrary: exec, weight: 3 }, { arbitrary: files, weight: 1 }), {
      seed: SEED,
      numRuns: SESSIONS,
    })
    const scripts = wanted.map((one, i) => ({ ...one, name: place(`session-${i}`) }))
    const commands: string[] = []
    for (const script of scripts) {
      if (script.type === 'sftp') {
        await transfer(script)
        continue
      }
      const { name, output, errors, status, input } = script
      const command = `python3 ${place('witness.py')} ${name} ${output} ${errors} ${status}`
      commands.push(command)
      const flags = script.type === 'terminal' ? ['-tt'] : []
      const { code } = await sshThrough(sshd, gateway, [...flags, command], {
        login: 'alice',
        input: 'y'.repeat(script.type === 'terminal' ? 0 : input),
      })
      expect(code).toBe(status)
    }
    const book = await closedBook(gateway)
    const programs = book.of('ssh.exec')
    // Every program, none extra, in their order.
    expect(programs.map(({ texts }) => texts['cmd'])).toEqual(commands)
    scripts
      .filter(({ type }) => type !== 'sftp')
      .forEach((script, i) => {
        const operation = programs[i]
        if (operation !== undefined) sameAsSeen(script as Exec & { name: string }, operation)
      })
    sameFiles(
      scripts.flatMap((script) => (script.type === 'sftp' ? [script] : [])),
      book,
    )
    await gateway[Symbol.asyncDispose]()

    async function transfer({ name, sizes, remove }: Files & { name: string }): Promise<void> {
      const lines = sizes.flatMap((size, k) => {
        writeFileSync(`${name}.${k}`, Buffer.alloc(size, k + 1))
        return [`put ${name}.${k} ${name}.${k}.up`, `get ${name}.${k}.up ${name}.${k}.down`]
      })
      if (remove) lines.push(`rm ${name}.0.up`)
      const args = [...gatewayOptions(sshd, gateway), '-q', '-b', '-', 'alice@127.0.0.1']
      expect(await run('sftp', args, { input: `${lines.join('\n')}\n` })).toMatchObject({ code: 0 })
    }
  },
  SOAK ? 4 * 3600_000 : 180_000,
)

function sameAsSeen({ name, type, status }: Exec & { name: string }, operation: SshOperation): void {
  const [given, out, err] = ['in', 'out', 'err'].map((part) => readFileSync(`${name}.${part}`))
  if (given === undefined || out === undefined || err === undefined) throw new Error('the host saw nothing')
  expect(operation.code).toBe(String(status))
  const stream = (kind: string) => SshBook.stream(operation, kind)
  if (type === 'terminal') {
    // A terminal has one output, in which the line ends are its own.
    expect(sha256(stream('o'))).toBe(sha256(Buffer.concat([out, err])))
    expect(operation.bytes).toBe(out.length + err.length)
    return
  }
  expect([sha256(stream('o')), sha256(stream('e'))]).toEqual([sha256(out), sha256(err)])
  expect(operation.bytes).toBe(out.length + err.length)
  // Less what the policy drops: of the input one mebibyte is kept, and of all of it the count and the hash.
  expect(sha256(stream('i'))).toBe(sha256(given.subarray(0, STDIN_KEPT)))
  if (given.length > 0) {
    expect(operation.meta).toMatchObject({ stdin: { bytes: given.length, sha256: sha256(given) } })
  }
}

function sameFiles(scripts: readonly (Files & { name: string })[], book: SshBook): void {
  const hashOf = (size: number, k: number) =>
    createHash('sha256')
      .update(Buffer.alloc(size, k + 1))
      .digest('hex')
  const wanted = scripts.flatMap(({ name, sizes }) =>
    sizes.flatMap((size, k) => {
      const facts = { bytes: size, sha256: hashOf(size, k) }
      const path = `${name}.${k}.up`
      return [
        { path, meta: size === 0 ? {} : { written: facts } },
        { path, meta: size === 0 ? {} : { read: facts } },
      ]
    }),
  )
  const opened = book.of('sftp.open').map(({ texts, meta }) => ({ path: texts['path'], meta }))
  expect(opened).toEqual(wanted)
  const removed = scripts.filter(({ remove }) => remove).map(({ name }) => `${name}.0.up`)
  expect(book.of('sftp.remove').map(({ texts }) => texts['path'])).toEqual(removed)
  for (const path of removed) expect(existsSync(path)).toBe(false)
}
