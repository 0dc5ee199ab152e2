/**
 * `gatebook pin TARGET`: the first meeting with an SSH host. Shows the key that the host shows, without logging in,
 * and writes it into the target's known_hosts when the operator says that it is the right one.
 */
import { appendFile, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { createInterface } from 'node:readline/promises'
import { fingerprint, parseKnownHosts, parsePublicKey, readHostKey } from '../../protocols/ssh/index.ts'
import { isMissing, OperatorError, wordsOf } from '../system/operator-error.ts'
import { configOrFail, EXIT, type Io } from './io.ts'

const ANSWER_MS_MAX = 20_000

export interface PinOptions {
  readonly target: string
  readonly config: string
  /** The fingerprint that the operator knows from elsewhere; without it they are asked. */
  readonly expect?: string
}

export async function pin({ target: name, config: file, expect }: PinOptions, io: Io): Promise<number> {
  const { config } = await configOrFail(file)
  const target = config.targets.get(name)
  if (target?.type !== 'ssh') throw new OperatorError('usage', `no SSH target "${name}" is configured`)
  if (target.jump !== undefined) {
    throw new OperatorError('usage', `"${name}" is reached through "${target.jump}": pin its key by host_key`)
  }
  const { host, port } = target.address
  const blob = await readHostKey(connect({ host, port }), ANSWER_MS_MAX).catch((cause: unknown) => {
    throw new OperatorError('target', `reading the key of ${name}: ${wordsOf(cause)}`, { cause })
  })
  const { type } = parsePublicKey(blob)
  const print = fingerprint(blob)
  io.stdout.write(`${name} (${host}:${port}) shows ${type} ${print}\n`)
  if (target.known_hosts === undefined) {
    io.stdout.write(`If that is its key, the target says: host_key: ${type} ${print}\n`)
    return EXIT.ok
  }
  const text = await readIfThere(target.known_hosts)
  const known = parseKnownHosts(text, host, port)
  if (known.some((other) => other.matches(blob))) {
    io.stdout.write('It is pinned already.\n')
    return EXIT.ok
  }
  if (known.some(({ keyType }) => keyType === type)) {
    io.stderr.write(
      `${target.known_hosts} holds ANOTHER key of it: remove that line first, if you know why.\n`,
    )
    return EXIT.error
  }
  if (!(await confirmed(print, expect))) {
    io.stderr.write('Nothing is changed.\n')
    return EXIT.error
  }
  const named = port === 22 ? host : `[${host}]:${port}`
  const line = `${named} ${type} ${Buffer.from(blob).toString('base64')}\n`
  await appendFile(target.known_hosts, text === '' || text.endsWith('\n') ? line : `\n${line}`)
  io.stdout.write(`It is pinned in ${target.known_hosts}; a running gateway takes it at the next reload.\n`)
  return EXIT.ok
}

async function confirmed(print: string, expected: string | undefined): Promise<boolean> {
  if (expected !== undefined) return expected === print
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (
      (await lines.question('Is that its key, as you know it from elsewhere? Type yes: ')).trim() === 'yes'
    )
  } finally {
    lines.close()
  }
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isMissing(error)) return ''
    throw error
  }
}
