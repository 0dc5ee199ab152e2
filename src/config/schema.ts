/**
 * The whole configuration: one schema that gives the types, the defaults, the descriptions and schema.json.
 * Keys keep the spelling of the file, so that a path in an error is a path in the code. Maps of names are
 * `Map`s: what a client calls itself is looked up in them and must never meet an object's own members.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { VERB_CLASSES, VERBS } from '../../protocols/statement-facts.ts'
import { listeners } from './listeners.ts'
import { named } from './named.ts'
import { reading, targetSelector } from './reading.ts'
import * as is from './scalars.ts'
import { sshProgram, targets } from './targets.ts'

function gateway({ path }: is.Located) {
  return z
    .strictObject({
      name: is.name.describe('Names the book: its origin is <name>/book. It never changes afterwards.'),
      data_dir: path.describe(
        'Where the book, the accounts and the journal lie. Readable by the gateway alone.',
      ),
      tls: z
        .strictObject({
          cert: path.describe('Certificate chain in PEM, one for all listeners'),
          key: path.describe('Its private key in PEM'),
          client_ca: path
            .optional()
            .describe('Certificates in PEM whose issues may log people in; without it none is asked for'),
        })
        .describe('What this gateway shows to clients'),
      control: z
        .strictObject({
          socket: path
            .optional()
            .describe('Its folder has mode 0700; control/socket in data_dir unless given'),
          require_token: z
            .boolean()
            .default(false)
            .describe(
              'Demand a personal token too; without it all who reach the socket are one person to the book',
            ),
        })
        .prefault({})
        .describe('The socket through which commands reach the running gateway'),
      contact: is.line.optional().describe('Whom to ask after a refusal; the last line of every refusal'),
    })
    .transform((given) => ({
      ...given,
      control: {
        ...given.control,
        socket: given.control.socket ?? join(given.data_dir, 'control', 'socket'),
      },
    }))
    .describe('This gateway itself')
}

const auth = z
  .strictObject({
    sessions: z
      .strictObject({
        max: is.duration.prefault('12h').describe('A session ends after this, whatever it does'),
        idle: is.duration.prefault('30m').describe('A session ends after this without traffic'),
      })
      .prefault({}),
    lockout: z
      .strictObject({
        failures: z.int().min(1).max(100).default(5),
        window: is.duration.prefault('10m'),
        for: is.duration.prefault('15m'),
      })
      .prefault({})
      .describe(
        'After so many failures within the window, one name from one address waits; never for tokens',
      ),
  })
  .prefault({})

const certificate = z.union(
  [
    z.strictObject({ fingerprint: is.fingerprint }),
    z.strictObject({
      subject: is.line.describe('All attributes in the order of the certificate, as CN=alice,O=Acme'),
    }),
  ],
  { error: 'expected { fingerprint: … } or { subject: … }' },
)

function users({ secret }: is.Located) {
  return named(
    is.userName,
    z.strictObject({
      kind: z.enum(['person', 'service']).default('person'),
      email: is.line.optional(),
      groups: z.array(is.name).default([]),
      password: secret
        .optional()
        .describe(
          'An argon2id hash ($argon2id$…) or a SCRAM verifier (SCRAM-SHA-256$4096:…), never the password',
        ),
      totp: secret
        .optional()
        .describe('A secret for one-time codes in base32: SSH and the console then ask for one too'),
      ssh_keys: z.array(is.sshKey).max(64).default([]),
      certificates: z
        .array(certificate)
        .max(64)
        .default([])
        .describe('TLS client certificates; see client_ca'),
      idle: z.literal('none').optional().describe('Exempts a service account from auth.sessions.idle'),
    }),
  )
    .prefault({})
    .describe('People and service accounts. Tokens are not written here: `gatebook token create`.')
}

const verb = z.enum(VERBS, { error: 'expected a verb such as SELECT, DELETE, CREATE ROLE or unknown' })
const verbOrClass = z.enum([...VERBS, ...VERB_CLASSES], {
  error: 'expected a verb such as SELECT or a class: read, write, define, grant, admin',
})
const hours = z
  .strictObject({
    tz: is.timeZone,
    days: z
      .array(is.days)
      .min(1)
      .transform((runs) => [...new Set(runs.flat())].sort()),
    from: is.timeOfDay,
    to: is.timeOfDay,
  })
  .describe('When the role holds. A window that passes midnight belongs to the day it begins on.')

const roles = named(
  is.name,
  z.strictObject({
    targets: targetSelector.default([]),
    read: reading.optional(),
    databases: z.array(is.glob).min(1).optional().describe('Databases, with * as wildcard; all unless given'),
    read_only: z
      .boolean()
      .default(false)
      .describe('Connect with read_only_credentials. Such a role never reaches SSH targets.'),
    replication: z
      .boolean()
      .default(false)
      .describe(
        'Let PostgreSQL’s replication pass, which carries all data: recorded by commands and bytes, not by content',
      ),
    statements: z
      .strictObject({ allow: z.array(verbOrClass).min(1) })
      .optional()
      .describe('Verbs and classes of verbs; those of the class "session" always pass'),
    max_rows: z.int().min(1).optional().describe('Rows one statement may return before it is cancelled'),
    ssh: z
      .strictObject({
        allow: z.array(sshProgram).optional(),
        forward: z.array(is.destination).optional(),
        listen: z.array(is.destination).optional(),
      })
      .optional()
      .describe('Of what SSH targets allow, only this'),
    hours: hours.optional(),
  }),
)
  .prefault({})
  .describe('What may be reached, and how')

const grants = z
  .array(
    z.strictObject({
      user: is.userName.optional(),
      group: is.name.optional(),
      role: is.name,
      expires: is.expiry.optional().describe('A date means the end of that day, UTC'),
      owner: is.line.optional().describe('Who answers for this grant'),
    }),
  )
  .max(10_000)
  .default([])
  .describe('Who has which role')

const policies = z
  .array(
    z.strictObject({
      id: is.name,
      when: z
        .strictObject({
          protocol: z
            .array(z.enum(['postgres', 'mysql']))
            .min(1)
            .optional(),
          labels: z.record(is.name, is.name).optional().describe('Labels that the target must have'),
          verb: z.array(verb).min(1).optional(),
          table: z
            .array(is.glob)
            .min(1)
            .optional()
            .describe(
              'name or schema.name, with * as wildcard; a schema whole is schema.*, where the text names it',
            ),
          where: z.literal('none').optional().describe('UPDATE and DELETE without a WHERE'),
        })
        .describe('All that is given must hold for one part of the statement'),
      // biome-ignore lint/suspicious/noThenProperty: a key of the file; nothing awaits a policy.
      then: z.literal('deny'),
      message: is.line.optional().describe('What the person is told'),
    }),
  )
  .max(1000)
  .default([])
  .describe('Statements refused whatever a role allows')

function recording({ keySecret }: is.Located) {
  return z.strictObject({
    durability: z
      .enum(['strict', 'standard', 'relaxed'])
      .default('standard')
      .describe('strict: a begin is on the disk before it is forwarded. relaxed: within 200 ms'),
    on_failure: z
      .enum(['refuse', 'continue'])
      .default('refuse')
      .describe('refuse: no record, no session. continue: go on, with a gap record in the book'),
    sql: z
      .strictObject({
        parameters: z
          .enum(['keep', 'mask', 'redact'])
          .default('mask')
          .describe('mask: stored, shown masked. redact: never stored'),
        max_statement: is.size
          .prefault('16MiB')
          .refine((bytes) => bytes <= 32 << 20, { error: 'expected at most 32MiB' })
          .describe('Longer statements are refused, never cut'),
      })
      .prefault({}),
    ssh: z
      .strictObject({ output: z.boolean().default(true).describe('Keep what terminals and commands print') })
      .prefault({}),
    encryption: z.strictObject({
      key: keySecret.describe('Wraps the keys of the sessions: 32 bytes in base64'),
      former: keySecret
        .optional()
        .describe('The key before it: at the next start all that is wrapped under it is wrapped anew'),
    }),
  })
}

function integrity({ path }: is.Located) {
  return z.strictObject({
    signing_key: path.describe(
      'The Ed25519 key that signs the book; the gateway replaces it at each key change',
    ),
    keep_checkpoint_every: z
      .strictObject({
        records: z.int().min(1).max(1_000_000).default(1000),
        time: is.duration.prefault('1m'),
      })
      .prefault({}),
  })
}

const retention = z
  .strictObject({
    default: is.duration.optional().describe('How long records are kept; for ever unless given'),
    terminal_recordings: is.duration
      .optional()
      .describe('How long terminal recordings are kept, where shorter'),
  })
  .prefault({})

/** `folder` is where the file lies: relative paths in it begin there. */
export function configSchema(folder: string) {
  const at = is.located(folder)
  return z.strictObject({
    version: z.literal(1).describe('The version of this format'),
    gateway: gateway(at),
    listeners: listeners(at),
    auth,
    users: users(at),
    groups: named(is.name, z.strictObject({ description: is.line.optional() })).prefault({}),
    targets: targets(at),
    roles,
    grants,
    policies,
    recording: recording(at),
    integrity: integrity(at),
    retention,
  })
}

type Frozen<T> =
  T extends ReadonlyMap<infer K, infer V>
    ? ReadonlyMap<K, Frozen<V>>
    : T extends object
      ? { readonly [K in keyof T]: Frozen<T[K]> }
      : T

type ValueOf<M> = M extends ReadonlyMap<string, infer V> ? V : never

export type Config = Frozen<z.output<ReturnType<typeof configSchema>>>
export type Listener = ValueOf<Config['listeners']>
export type ConsoleListener = Extract<Listener, { type: 'console' }>
export type Target = ValueOf<Config['targets']>
export type DatabaseTarget = Extract<Target, { type: 'postgres' | 'mysql' }>
export type SshTarget = Extract<Target, { type: 'ssh' }>
export type User = ValueOf<Config['users']>
export type Role = ValueOf<Config['roles']>
export type Hours = NonNullable<Role['hours']>
export type GrantLine = Config['grants'][number]
export type Policy = Config['policies'][number]
