/** What is wrong with a MySQL or MariaDB target, by logging in as the gateway does. */
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise'
import {
  type DatabaseCredential,
  type DatabaseCredentials,
  type DatabaseTls,
  tlsOptions,
} from '../../access/credentials.ts'
import type { DatabaseTarget } from '../../config/schema.ts'
import { wordsOf } from '../../system/operator-error.ts'
import { type Finding, namedSome } from './finding.ts'

const CONNECT_MS_MAX = 10_000
/** Privileges that let nobody change anything. EXECUTE is not among them: a procedure may run as its owner. */
const HARMLESS = new Set([
  'USAGE',
  'SELECT',
  'SHOW VIEW',
  'SHOW DATABASES',
  'PROCESS',
  'REPLICATION CLIENT',
  'BINLOG MONITOR',
  'SLAVE MONITOR',
])

export async function examineMysql(
  target: DatabaseTarget,
  { usual, readOnly, tls }: DatabaseCredentials,
): Promise<Finding[]> {
  const findings = [await reaches(() => open(target, usual, tls), usual.user)]
  if (readOnly !== undefined)
    findings.push(await cannotWrite(() => open(target, readOnly, tls), readOnly.user))
  return findings
}

function open(target: DatabaseTarget, credential: DatabaseCredential, tls: DatabaseTls): Promise<Connection> {
  const { mode } = target.tls
  const ssl = {
    rejectUnauthorized: mode === 'verify-full' || mode === 'verify-ca',
    verifyIdentity: mode === 'verify-full',
    ...tlsOptions(tls),
  }
  return mysql.createConnection({
    ...target.address,
    user: credential.user,
    password: credential.password.text(),
    connectTimeout: CONNECT_MS_MAX,
    ...(target.database === undefined ? {} : { database: target.database }),
    ...(mode === 'disable' ? {} : { ssl }),
  })
}

type LogIn = () => Promise<Connection>

function reaches(logIn: LogIn, user: string): Promise<Finding> {
  return answered(logIn, user, 'SELECT version()', ([version]) => ({
    good: true,
    text: `reached as ${user}: ${version}`,
  }))
}

/** By the server's own word on what it was granted, roles included. */
function cannotWrite(logIn: LogIn, user: string): Promise<Finding> {
  return answered(logIn, `read-only ${user}`, 'SHOW GRANTS', (grants) => {
    const harmful = grants.flatMap((grant) => harmOf(grant))
    if (harmful.length === 0) return { good: true, text: `read-only ${user} cannot write` }
    return { good: false, text: `read-only ${user} may more than read: ${namedSome(harmful)}` }
  })
}

/** Judges by the first column of the answer to one question. */
async function answered(
  logIn: LogIn,
  name: string,
  question: string,
  judge: (answer: readonly string[]) => Finding,
): Promise<Finding> {
  try {
    const connection = await logIn()
    const [rows] = await connection.query<RowDataPacket[]>(question)
    await connection.end()
    return judge(rows.map((row) => String(Object.values(row)[0])))
  } catch (error) {
    return { good: false, text: `cannot log in as ${name}: ${wordsOf(error)}` }
  }
}

/** What a GRANT line gives beyond reading. A line of another form gives nobody knows what, so it counts. */
export function harmOf(grant: string): string[] {
  const [, privileges, where] = /^GRANT (.+?) ON (.+?) TO /.exec(grant) ?? []
  if (privileges === undefined) return [grant.replace(/ IDENTIFIED .*$/, '')]
  // A column list, SELECT (a, b), has commas of its own.
  const named = privileges
    .replace(/\([^)]*\)/g, '')
    .split(',')
    .map((one) => one.trim())
  const harmful = named.filter((one) => !HARMLESS.has(one)).map((one) => `${one} on ${where}`)
  return grant.includes('WITH GRANT OPTION') ? [...harmful, `GRANT OPTION on ${where}`] : harmful
}
