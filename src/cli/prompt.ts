/** The small prompt that stands in for a database's own client: a statement ends with a semicolon at a line's end. */
import { createInterface } from 'node:readline/promises'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { askHidden } from './ask-hidden.ts'
import { type Io, printTable, visible } from './io.ts'

/** Where to log in, and as whom. */
export interface Prompted {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly target: string
  readonly database?: string
}

const HELP = 'This prompt knows \\q, which ends it, and statements, which end with a semicolon.\n'

/** Whoever needs the certificate verified uses a client that is told whom to trust. */
const TLS = { rejectUnauthorized: false }

export async function promptPostgres({ target, ...login }: Prompted, io: Io): Promise<void> {
  const password = process.env['PGPASSWORD'] ?? (await askHidden(`Password for ${login.user}: `))
  const client = new pg.Client({ ...login, password, application_name: 'gatebook connect', ssl: TLS })
  await client.connect()
  try {
    await prompt(target, (text) => runPostgres(client, text, io))
  } finally {
    await client.end()
  }
}

export async function promptMysql({ target, ...login }: Prompted, io: Io): Promise<void> {
  const password = process.env['MYSQL_PWD'] ?? (await askHidden(`Password for ${login.user}: `))
  const client = await mysql.createConnection({
    ...login,
    password,
    ssl: TLS,
    multipleStatements: true,
    rowsAsArray: true,
    dateStrings: true,
    // Asked for by the gateway where it keeps the person's own password; inside TLS only.
    authPlugins: { mysql_clear_password: () => () => Buffer.from(`${password}\0`) },
  })
  try {
    await prompt(target, (text) => runMysql(client, text, io))
  } finally {
    await client.end()
  }
}

async function prompt(target: string, run: (text: string) => Promise<void>): Promise<void> {
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY,
  })
  let text = ''
  // Input from a file ends while its last statements still run.
  let ended = false
  lines.once('close', () => {
    ended = true
  })
  lines.setPrompt(`${target}=> `)
  lines.prompt()
  for await (const line of lines) {
    if (/^\s*\\q\s*$/.test(line)) break
    if (text === '' && /^\s*(\\|help\s*$)/.test(line)) process.stderr.write(HELP)
    else text += `${line}\n`
    if (/;\s*$/.test(line)) {
      await run(text)
      text = ''
    }
    if (ended) continue
    lines.setPrompt(text === '' ? `${target}=> ` : `${target}-> `)
    lines.prompt()
  }
  lines.close()
}

async function runPostgres(client: pg.Client, text: string, io: Io): Promise<void> {
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

async function runMysql(client: mysql.Connection, text: string, io: Io): Promise<void> {
  try {
    const [answer, columns] = await client.query<mysql.RowDataPacket[][]>(text)
    const isSeveral = Array.isArray(columns) && columns.some((one) => one === undefined || Array.isArray(one))
    const answers: readonly unknown[] = isSeveral ? answer : [answer]
    const names = (isSeveral ? columns : [columns]) as readonly (mysql.FieldPacket[] | undefined)[]
    for (const [i, one] of answers.entries()) {
      if (!Array.isArray(one)) io.stdout.write(`OK ${(one as mysql.ResultSetHeader).affectedRows}\n`)
      else {
        const rows = (one as unknown[][]).map((row) =>
          row.map((value) => (value === null ? '' : String(value))),
        )
        printTable(io, names[i]?.map(({ name }) => name) ?? [], rows)
      }
    }
  } catch (error) {
    if (!(error instanceof Error) || !('errno' in error)) throw error
    const lines = error.message.split('\n').map((line) => visible(line))
    io.stderr.write(`ERROR ${String(error.errno)}: ${lines.join('\n')}\n`)
  }
}
