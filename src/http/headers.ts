/** What every answer carries, and from where a request may come. */
import { ProblemError } from './errors.ts'

/** The player needs WebAssembly; nothing else may run, and nothing may be loaded from elsewhere. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "style-src-attr 'unsafe-inline'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "worker-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
}

export const STRICT_TRANSPORT = 'max-age=31536000'

const LOOPBACK_NAMES: readonly string[] = ['127.0.0.1', 'localhost', '[::1]']

export interface Site {
  readonly tls: boolean
  /** The only origin that is answered; without it whatever name the client used. */
  readonly publicUrl: string | undefined
}

/**
 * The origin under which this request reached us. Under plain HTTP only names of this machine are answered: another
 * one that leads here was made to lead here by a stranger's name server.
 */
export function originOf(host: string | undefined, { tls, publicUrl }: Site): string {
  const origin = `${tls ? 'https' : 'http'}://${host ?? ''}`
  const known = URL.canParse(origin) ? new URL(origin) : undefined
  const answered =
    publicUrl === undefined
      ? known !== undefined && (tls || LOOPBACK_NAMES.includes(known.hostname))
      : known?.origin === publicUrl
  if (!answered || known === undefined) {
    throw new ProblemError('wrong-host', {
      what: 'This gateway does not answer under that name.',
      ...(publicUrl === undefined ? {} : { next: `Open ${publicUrl}` }),
    })
  }
  return known.origin
}

/** What a browser says of where a request was made. Programs say nothing, and hold no cookie of ours either. */
export interface Provenance {
  readonly origin: string | undefined
  readonly fetchSite: string | undefined
}

/** Demands that the request was made by our own pages. `needed`: the Origin header must be there. */
export function demandOwnOrigin({ origin, fetchSite }: Provenance, own: string, needed: boolean): void {
  const foreign = origin === undefined ? needed : origin !== own
  const crossSite = fetchSite !== undefined && fetchSite !== 'same-origin' && fetchSite !== 'none'
  if (!foreign && !crossSite) return
  throw new ProblemError('bad-origin', {
    what: 'This request was not made by the console.',
    why: `It came from ${origin ?? 'a page that does not say where it is from'}.`,
  })
}
