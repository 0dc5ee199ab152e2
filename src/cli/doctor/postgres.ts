/** What is wrong with a PostgreSQL target, by logging in as the gateway does. */
import pg from 'pg'
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

export async function examinePostgres(
  target: DatabaseTarget,
  known: DatabaseCredentials,
): Promise<Finding[]> {
  const findings = [await reaches(target, known.usual, known.tls)]
  if (known.readOnly !== undefined) findings.push(...(await cannotWrite(target, known.readOnly, known.tls)))
  return findings
}

function clientOf(target: DatabaseTarget, credential: DatabaseCredential, tls: DatabaseTls): pg.Client {
  const { mode } = target.tls
  const ssl = {
    rejectUnauthorized: mode === 'verify-full' || mode === 'verify-ca',
    ...tlsOptions(tls),
    ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  }
  return new pg.Client({
    ...target.address,
    user: credential.user,
    password: credential.password.text(),
    database: target.database ?? credential.user,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    application_name: 'gatebook doctor',
    ssl: mode === 'disable' ? false : ssl,
  })
}

async function withClient<Result>(client: pg.Client, run: () => Promise<Result>): Promise<Result> {
  await client.connect()
  try {
    return await run()
  } finally {
    await client.end()
  }
}

async function reaches(
  target: DatabaseTarget,
  credential: DatabaseCredential,
  tls: DatabaseTls,
): Promise<Finding> {
  const client = clientOf(target, credential, tls)
  try {
    const version = await withClient(client, async () => {
      const { rows } = await client.query<{ version: string }>('select version()')
      return rows[0]?.version ?? ''
    })
    return { good: true, text: `reached as ${credential.user}: ${version.split(' ').slice(0, 2).join(' ')}` }
  } catch (error) {
    return { good: false, text: `cannot log in as ${credential.user}: ${wordsOf(error)}` }
  }
}

/** Each query finds one way to write; all must come back empty. */
const WAYS_TO_WRITE: readonly (readonly [string, string])[] = [
  [
    'has powers beyond any grant',
    `select unnest(array_remove(array[case when rolsuper then 'superuser' end, case when rolcreatedb then 'createdb' end,
       case when rolcreaterole then 'createrole' end, case when rolreplication then 'replication' end], null)) as found
     from pg_roles where rolname = current_user`,
  ],
  [
    'is a member of a writing role',
    `select rolname::text as found from pg_roles where pg_has_role(current_user, oid, 'member') and rolname <> current_user
       and (rolname in ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_maintain') or rolsuper)`,
  ],
  [
    'may change tables',
    `select n.nspname || '.' || c.relname as found from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'f', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
       and (has_table_privilege(c.oid, 'INSERT,UPDATE,DELETE,TRUNCATE') or has_any_column_privilege(c.oid, 'INSERT,UPDATE'))`,
  ],
  [
    'may create in schemas',
    `select nspname::text as found from pg_namespace where has_schema_privilege(oid, 'CREATE') and nspname !~ '^pg_(toast_)?temp_'`,
  ],
  [
    'may create in the database',
    `select current_database()::text as found where has_database_privilege(current_database(), 'CREATE')`,
  ],
  [
    // Asked of anything but a sequence the function fails, and the server may ask in any order but that of a CASE.
    'may advance sequences',
    `select n.nspname || '.' || c.relname as found from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname !~ '^pg_' and case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'USAGE,UPDATE') end`,
  ],
  [
    'may run functions with the rights of their owners',
    `select n.nspname || '.' || p.proname as found from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.prosecdef and p.provolatile = 'v' and n.nspname not in ('pg_catalog', 'information_schema')
       and has_function_privilege(p.oid, 'EXECUTE') and has_schema_privilege(n.oid, 'USAGE')`,
  ],
  [
    'may create large objects (revoke execute on functions lo_creat, lo_create, lo_from_bytea, lo_put from public)',
    `select p.oid::regprocedure::text as found from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace
       and p.proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite') and has_function_privilege(p.oid, 'EXECUTE')`,
  ],
]

async function cannotWrite(
  target: DatabaseTarget,
  credential: DatabaseCredential,
  tls: DatabaseTls,
): Promise<Finding[]> {
  const client = clientOf(target, credential, tls)
  try {
    return await withClient(client, async () => {
      const findings: Finding[] = []
      for (const [words, query] of WAYS_TO_WRITE) {
        const { rows } = await client.query<{ found: string }>(query)
        if (rows.length === 0) continue
        const found = namedSome(rows.map((row) => row.found))
        findings.push({ good: false, text: `read-only ${credential.user} ${words}: ${found}` })
      }
      if (findings.length > 0) return findings
      return [{ good: true, text: `read-only ${credential.user} cannot write` }]
    })
  } catch (error) {
    return [{ good: false, text: `cannot log in as read-only ${credential.user}: ${wordsOf(error)}` }]
  }
}
