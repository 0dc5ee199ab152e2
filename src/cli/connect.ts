/**
 * `gatebook connect TARGET`: the native client against the gateway, as oneself. Where there is no psql, a small
 * prompt stands in. Either way it is an ordinary connection: this command has no rights of its own.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline/promises'
import pg from 'pg'
import { OperatorError } from '../system/operator-error.ts'
import { DEFAULT_CONFIG } from './gateway.ts'
import { configOrFail, type Io, printTable } from './io.ts'

export interface ConnectOptions {
  readonly target: string
  readonly user: string
  readonly database?: string
  readonly config?: string
  /** Of the gateway, where no configuration tells it. */
  readonly host?: string
  readonly port?: number
  /** For the native client, as they stand. */
  readonly args: readonly string[]
}

export async function connect(options: ConnectOptions, io: Io): Promise<number> {
  const { type, host, port } = await gatewayOf(options)
  const user = `${options.user}~${options.target}`
  if (type === 'ssh') return runClient('ssh', ['-p', String(port), '-l', user, host, ...options.args])
  if (spawnSync('psql', ['--version']).status === 0) {
    const named = options.database === undefined ? [] : ['-d', options.database]
    return runClient('psql', ['-h', host, '-p', String(port), '-U', user, ...named, ...options.args])
  }
  io.stderr.write('psql is not installed here; this is a small prompt. End it with \\q.\n')
  const password = process.env['PGPASSWORD'] ?? (await askHidden(`Password for ${user}: `))
  const client = new pg.Client({
    host,
    port,
    user,
    password,
    ...(options.database === undefined ? {} : { database: options.database }),
    application_name: 'gatebook connect',
    // Whoever needs the certificate verified uses a client that is told whom to trust.
    ssl: { rejectUnauthorized: false },
  })
  await client.connect()
  try {
    await prompt(client, options.target, io)
  } finally {
    await client.end()
  }
  return 0
}

interface Door {
  readonly type: 'postgres' | 'ssh'
  readonly host: string
  readonly port: number
}

/** Without a configuration it is PostgreSQL's. */
async function gatewayOf(options: ConnectOptions): Promise<Door> {
  if (options.host !== undefined && options.port !== undefined && options.config === undefined)
    return { type: 'postgres', host: options.host, port: options.port }
  const { config } = await configOrFail(options.config ?? DEFAULT_CONFIG)
  const type = config.targets.get(options.target)?.type
  if (type === undefined) throw new OperatorError('usage', `no target "${options.target}" is configured`)
  if (type === 'mysql')
    throw new OperatorError('usage', `"${options.target}" is a ${type} target: use its own client`)
  for (const listener of config.listeners.values()) {
    if (listener.type !== type || (listener.target ?? options.target) !== options.target) continue
    const { host, port } = listener.address
    return {
      type,
      host: options.host ?? (host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host),
      port: options.port ?? port,
    }
  }
  throw new OperatorError('usage', `no listener leads to "${options.target}"`)
}

function runClient(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    // The client's own terminal: it asks for the password, and ctrl-C is its to handle.
    const client = spawn(command, args, { stdio: 'inherit' })
    const ignore = (): void => {}
    process.on('SIGINT', ignore)
    client.once('error', reject)
    client.once('exit', (code) => {
      process.off('SIGINT', ignore)
      resolve(code ?? 1)
    })
  })
}

async function askHidden(question: string): Promise<string> {
  process.stderr.write(question)
  const lines = createInterface({ input: process.stdin, terminal: false })
  if (process.stdin.isTTY) spawnSync('stty', ['-echo'], { stdio: 'inherit' })
  try {
    return await lines.question('')
  } finally {
    if (process.stdin.isTTY) spawnSync('stty', ['echo'], { stdio: 'inherit' })
    lines.close()
    process.stderr.write('\n')
  }
}

/** A statement ends with a semicolon at the end of a line. */
async function prompt(client: pg.Client, target: string, io: Io): Promise<void> {
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY,
  })
  let text = ''
  lines.setPrompt(`${target}=> `)
  lines.prompt()
  for await (const line of lines) {
    if (text === '' && /^\s*\\q/.test(line)) break
    text += `${line}\n`
    if (/;\s*$/.test(line)) {
      await runStatement(client, text, io)
      text = ''
    }
    lines.setPrompt(text === '' ? `${target}=> ` : `${target}-> `)
    lines.prompt()
  }
  lines.close()
}

async function runStatement(client: pg.Client, text: string, io: Io): Promise<void> {
  try {
    const answer: unknown = await client.query({ text, rowMode: 'array' })
    for (const result of (Array.isArray(answer) ? answer : [answer]) as pg.QueryArrayResult<unknown[]>[]) {
      if (result.fields.length === 0) io.stdout.write(`${result.command} ${result.rowCount ?? ''}\n`)
      else {
        const rows = result.rows.map((row) => row.map((value) => (value === null ? '' : String(value))))
        printTable(
          io,
          result.fields.map(({ name }) => name),
          rows,
        )
      }
    }
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    const { severity, message, detail, hint } = error
    const lines = [`${severity}:  ${message}`, detail && `DETAIL:  ${detail}`, hint && `HINT:  ${hint}`]
    io.stderr.write(`${lines.filter(Boolean).join('\n')}\n`)
  }
}
