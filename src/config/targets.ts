/** The part of the schema that says what lies behind the gateway. */
import { z } from 'zod'
import { named } from './named.ts'
import * as is from './scalars.ts'

function targetTls({ path, secret }: is.Located) {
  return z
    .strictObject({
      mode: z.enum(['verify-full', 'verify-ca', 'require', 'disable']).default('verify-full'),
      ca: path
        .optional()
        .describe('Certificates in PEM that vouch for the target; without it those of the system'),
      cert: path
        .optional()
        .describe('A certificate in PEM that the gateway shows there, beside its password'),
      key: secret.optional().describe('The private key of that certificate, in PEM'),
    })
    .prefault({})
}

const labels = z.record(is.name, is.name).default({}).describe('For roles and policies, such as env: prod')

function databaseTarget(at: is.Located) {
  const credentials = z.strictObject({ user: is.line, password: at.secret })
  return {
    address: is.address,
    database: is.line.optional().describe('The database for clients that name none'),
    tls: targetTls(at),
    credentials: credentials.describe('What the gateway logs in with; nobody else sees it'),
    read_only_credentials: credentials
      .optional()
      .describe('An account without any right to write; roles with read_only use it'),
    labels,
  }
}

export const sshProgram = z.enum(['shell', 'exec', 'sftp'])

export function targets(at: is.Located) {
  const ssh = z.strictObject({
    type: z.literal('ssh'),
    address: is.address,
    host_key: is.hostKey.optional().describe('The key the host must show'),
    known_hosts: at.path.optional().describe('A known_hosts file that names the host, instead of host_key'),
    credentials: z
      .strictObject({
        user: is.line,
        private_key: at.secret.optional(),
        password: at.secret.optional(),
        agent: at.path.optional().describe('The socket of an SSH agent on this machine'),
      })
      .describe('One of private_key, password and agent; nobody else sees it'),
    stdin: z
      .enum(['keep', 'hash'])
      .default('keep')
      .describe(
        'Input of commands without a terminal: keep 1 MiB and count the rest, or hash and count only',
      ),
    allow: z.array(sshProgram).default(['shell', 'exec', 'sftp']),
    forward: z
      .array(is.destination)
      .default([])
      .describe('Where ports may be forwarded to; nowhere unless listed'),
    listen: z
      .array(is.destination)
      .default([])
      .describe('Where the host may listen for people (ssh -R); nowhere unless listed'),
    agent_forwarding: z.boolean().default(false).describe('Whether people may bring their agents (ssh -A)'),
    env: z
      .array(is.variable)
      .max(64)
      .default(['LANG', 'LC_*'])
      .describe('Environment variables that may pass to the host'),
    durability: z
      .literal('strict')
      .optional()
      .describe('Strict for this target, whatever recording.durability is; ends terminals that hide input'),
    jump: is.name.optional().describe('The SSH target through which this one is reached'),
    labels,
  })
  return named(
    is.name,
    z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('postgres'), ...databaseTarget(at) }),
      z.strictObject({
        type: z.literal('mysql'),
        ...databaseTarget(at),
        local_infile: z
          .boolean()
          .default(false)
          .describe(
            'Let LOAD DATA LOCAL read files of the client; each is recorded by name, length and hash',
          ),
      }),
      ssh,
    ]),
  ).describe('What lies behind the gateway')
}
