/** Sessions that are open now: of the gateway on this machine, or of one elsewhere. */
import type { SessionRow } from '../../control/commands.ts'
import type { LiveSession } from '../../http/api.ts'
import { NoAnswer } from '../../read/questions.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { ask, type GatewayOptions } from '../gateway.ts'
import { gatewayUrl, RemoteGateway } from '../remote.ts'

export async function openSessions(options: GatewayOptions): Promise<readonly SessionRow[]> {
  const url = gatewayUrl(options)
  if (url === undefined) return ask<readonly SessionRow[]>(options, 'sessions.list', {})
  using gateway = await RemoteGateway.open(url, options)
  const { sessions } = (await gateway.get('/live')) as { readonly sessions: readonly LiveSession[] }
  return sessions.map(({ mayEnd: _, ...row }) => row)
}

export interface EndOptions extends GatewayOptions {
  readonly session: string
  /** Told to its user. */
  readonly reason?: string
}

/** Whose session it was, and at which target. */
export async function endSession({
  session,
  reason,
  ...options
}: EndOptions): Promise<Pick<SessionRow, 'user' | 'target'>> {
  const said = reason === undefined ? {} : { reason }
  const url = gatewayUrl(options)
  if (url === undefined) return ask<SessionRow>(options, 'sessions.kill', { session, ...said })
  using gateway = await RemoteGateway.open(url, options)
  try {
    const path = `/live/${encodeURIComponent(session)}/end`
    return (await gateway.post(path, said)) as Pick<SessionRow, 'user' | 'target'>
  } catch (error) {
    // As on the control socket: what is not there was asked for by mistake.
    if (error instanceof NoAnswer && error.code === 'none') throw new OperatorError('usage', error.message)
    throw error
  }
}
