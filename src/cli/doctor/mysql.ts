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

export async function examineMysql(target: DatabaseTarget, known: DatabaseCredentials): Promise<Finding[]> {
  const findings = [await reaches(target, known.usual, known.tls)]
  if (known.readOnly !== undefined) findings.push(await cannotWrite(target, known.readOnly, known.tls))
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

async function reaches(
  target: DatabaseTarget,
  credential: DatabaseCredential,
  tls: DatabaseTls,
): Promise<Finding> {
  try {
    const connection = await open(target, credential, tls)
    const [rows] = await connection.query<RowDataPacket[]>('SELECT version() AS version')
    await connection.end()
    return { good: true, text: `reached as ${credential.user}: ${String(rows[0]?.['version'])}` }
  } catch (error) {
    return { good: false, text: `cannot log in as ${credential.user}: ${wordsOf(error)}` }
  }
}

/** By the server's own word on what it was granted, roles included. */
async function cannotWrite(
  target: DatabaseTarget,
  credential: DatabaseCredential,
  tls: DatabaseTls,
): Promise<Finding> {
  try {
    const connection = await open(target, credential, tls)
    const [rows] = await connection.query<RowDataPacket[]>('SHOW GRANTS')
    await connection.end()
    const grants = rows.map((row) => String(Object.values(row)[0]))
    const harmful = grants.flatMap((grant) => harmOf(grant))
    if (harmful.length === 0) return { good: true, text: `read-only ${credential.user} cannot write` }
    return { good: false, text: `read-only ${credential.user} may more than read: ${namedSome(harmful)}` }
  } catch (error) {
    return { good: false, text: `cannot log in as read-only ${credential.user}: ${wordsOf(error)}` }
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
