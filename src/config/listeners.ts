/** Where clients come in: one entry per listener, told apart by its type. */
import { z } from 'zod'
import { named } from './named.ts'
import * as is from './scalars.ts'

const listening = {
  address: is.listenAddress.describe('host:port to listen on'),
  proxy_protocol: z
    .strictObject({ from: z.array(is.network).min(1) })
    .optional()
    .describe('PROXY protocol v2: demanded from these networks, refused from all others'),
}

const selling = {
  ...listening,
  require_tls: z.boolean().default(true).describe('Refuse clients that do not ask for TLS'),
  target: is.name.optional().describe('The only target of this listener; then no ~target is needed'),
}

export function listeners({ secret }: is.Located) {
  const postgres = z.strictObject({
    type: z.literal('postgres'),
    ...selling,
    login: z
      .enum(['scram', 'password'])
      .default('scram')
      .describe('How everybody logs in here: SCRAM-SHA-256, or the password in clear inside TLS'),
    welcome: z
      .boolean()
      .default(false)
      .describe('Tell people in psql, at the start, that and as whom they are recorded'),
  })
  const mysql = z.strictObject({
    type: z.literal('mysql'),
    ...selling,
    family: z.enum(['mysql', 'mariadb']).default('mysql').describe('What a shared listener greets as'),
    version: is.line.optional().describe('The version with which a shared listener greets'),
  })
  const ssh = z.strictObject({
    type: z.literal('ssh'),
    ...listening,
    target: selling.target,
    host_key: z
      .union([secret.transform((one) => [one]), z.array(secret).min(1).max(8)], { error: is.SECRET_EXPECTED })
      .describe('The private keys this gateway shows to SSH clients, one or several: OpenSSH files or PEM'),
    user_ca: z
      .array(is.sshKey)
      .max(16)
      .default([])
      .describe('Public keys whose user certificates log in whoever they name as principal'),
  })
  const webConsole = z.strictObject({
    type: z.literal('console'),
    address: listening.address,
    require_tls: z
      .boolean()
      .default(true)
      .describe('HTTPS. Without it plain HTTP, which only a loopback address may speak'),
    public_url: is.origin
      .optional()
      .describe(
        'Where people find it, such as https://gw.example.com; requests under another name are refused',
      ),
  })
  const metrics = z.strictObject({ type: z.literal('metrics'), address: listening.address })
  return named(is.name, z.discriminatedUnion('type', [postgres, mysql, ssh, webConsole, metrics])).describe(
    'Where clients come in',
  )
}
