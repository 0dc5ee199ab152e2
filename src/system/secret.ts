/** Secrets from the environment, a file or a program, as values that do not print themselves. */
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { isMissing, OperatorError, wordsOf } from './operator-error.ts'

export interface SecretRef {
  readonly source: 'env' | 'file' | 'cmd'
  readonly name: string
}

export const SECRET_BYTES_MAX = 64 << 10
const COMMAND_MS_MAX = 30_000
const NEVER = '[secret]'

/** Whoever needs the value asks for it by name; a log, a template or JSON gets `[secret]`. */
export class Secret {
  readonly #bytes: Uint8Array

  constructor(value: Uint8Array | string) {
    this.#bytes = Buffer.from(value)
  }

  bytes(): Uint8Array {
    return this.#bytes
  }

  text(): string {
    return Buffer.from(this.#bytes).toString('utf8')
  }

  toString(): string {
    return NEVER
  }

  toJSON(): string {
    return NEVER
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return NEVER
  }
}

export type Environment = Readonly<Record<string, string | undefined>>

/** One line break at the end belongs to the file, not to the secret. */
export async function readSecret(ref: SecretRef, env: Environment): Promise<Secret> {
  const value = await readValue(ref, env)
  const end = value.at(-1) === 0x0a ? (value.at(-2) === 0x0d ? -2 : -1) : value.length
  const secret = value.subarray(0, end)
  if (secret.length === 0) throw unreadable(ref, 'it is empty')
  return new Secret(secret)
}

/** A key of 32 bytes, which is written in base64 so that every source can hold it. */
export function decodeKey(secret: Secret, what: string): Uint8Array {
  const text = secret.text()
  const key = Buffer.from(text, 'base64')
  // Node skips what is not base64; a key must be exactly what was written.
  if (key.length !== 32 || key.toString('base64') !== text) {
    throw new OperatorError('secret', `${what}: expected 32 bytes in base64, 44 characters`)
  }
  return key
}

async function readValue(ref: SecretRef, env: Environment): Promise<Buffer> {
  switch (ref.source) {
    case 'env': {
      const value = env[ref.name]
      if (value === undefined) throw unreadable(ref, 'the variable is not set')
      return Buffer.from(value)
    }
    case 'file':
      return readBounded(ref)
    case 'cmd':
      return run(ref)
  }
}

/** Reads at most one byte more than allowed, so that a device or a growing file takes no memory. */
async function readBounded(ref: SecretRef): Promise<Buffer> {
  const buffer = Buffer.alloc(SECRET_BYTES_MAX + 1)
  let length = 0
  try {
    await using file = await open(ref.name, 'r')
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
  } catch (cause) {
    throw unreadable(ref, isMissing(cause) ? 'there is no such file' : wordsOf(cause), cause)
  }
  if (length > SECRET_BYTES_MAX) throw unreadable(ref, `longer than ${SECRET_BYTES_MAX} bytes`)
  return buffer.subarray(0, length)
}

/** No shell: the words between the spaces are the program and its arguments. */
async function run(ref: SecretRef): Promise<Buffer> {
  const [program = '', ...args] = ref.name.trim().split(/\s+/)
  const options = { encoding: 'buffer', timeout: COMMAND_MS_MAX, maxBuffer: SECRET_BYTES_MAX } as const
  try {
    return (await promisify(execFile)(program, args, options)).stdout
  } catch (cause) {
    // The error of Node holds what the program printed, which may be the secret: it is not kept as the cause.
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
    throw unreadable(ref, `the program failed (${code})`)
  }
}

function unreadable({ source, name }: SecretRef, seen: string, cause?: unknown): OperatorError {
  return new OperatorError('secret', `reading the secret ${source}:${name}: ${seen}`, { cause })
}
