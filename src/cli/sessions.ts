/** `gatebook sessions`: what is open now, and ending it. */
import type { SessionRow } from '../control/commands.ts'
import { ask, type GatewayOptions } from './gateway.ts'
import { type Io, printTable } from './io.ts'
import { ago, stamp } from './times.ts'

export interface SessionsOptions extends GatewayOptions {
  readonly output: 'table' | 'json'
}

export async function listSessions(options: SessionsOptions, io: Io, now = Date.now()): Promise<number> {
  const rows = await ask<readonly SessionRow[]>(options, 'sessions.list', {})
  if (options.output === 'json') {
    for (const row of rows) io.stdout.write(`${JSON.stringify(row)}\n`)
    return 0
  }
  const head = ['SINCE (UTC)', 'WHO', 'TARGET', 'ROLES', 'FROM', 'LAST TRAFFIC', 'SESSION']
  const shown = rows.map(({ since, user, target, roles, address, lastTraffic, session }) => [
    ...[stamp(since), user, target, roles.join(','), address, `${ago(now - lastTraffic)} ago`, session],
  ])
  printTable(io, head, shown)
  return 0
}

export interface KillOptions extends GatewayOptions {
  readonly session: string
  readonly reason?: string
}

export async function killSession(options: KillOptions, io: Io): Promise<number> {
  const { session, reason } = options
  const given = reason === undefined ? { session } : { session, reason }
  const row = await ask<SessionRow>(options, 'sessions.kill', given)
  io.stderr.write(`ended ${row.session}: ${row.user} on ${row.target}\n`)
  return 0
}
