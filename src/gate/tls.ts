/** Moving a plain socket to TLS, in either role, and what the handshake showed. */
import type { Socket } from 'node:net'
import { connect, createServer, type SecureContext, type SecureContextOptions, TLSSocket } from 'node:tls'
import type { TlsFacts } from '../../protocols/conversation.ts'
import { HangUpError, type Upgrade } from './converse.ts'

/** What this gateway shows to clients; replaced as a whole when certificates are renewed. */
export interface ServerTls {
  readonly context: SecureContext
  /** Where client certificates are asked for: the same, with who may issue them. */
  readonly asking?: SecureContextOptions
}

/** How a target's certificate is judged. */
export interface TargetTls {
  readonly mode: 'verify-full' | 'verify-ca' | 'require'
  readonly host: string
  readonly shown: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

export function serverUpgrade({ context, asking }: ServerTls): Upgrade {
  if (asking !== undefined) return askingUpgrade(asking)
  return (plain, alpn) => {
    const socket = new TLSSocket(plain, { isServer: true, secureContext: context, ...named(alpn) })
    return handshake(socket, 'secure', plain)
  }
}

/**
 * Whether a client's certificate verifies, Node says of the connections of a tls.Server alone. So each of these gets
 * one, which listens nowhere. A certificate that does not verify counts as none.
 */
function askingUpgrade(asking: SecureContextOptions): Upgrade {
  return (plain, alpn) =>
    new Promise((resolve, reject) => {
      const failed = (error?: Error): void => {
        plain.destroy()
        const seen = error?.message ?? 'the connection was closed'
        reject(new HangUpError(`TLS handshake: ${seen}`, { cause: error }))
      }
      const closed = (): void => failed()
      plain.once('close', closed)
      createServer({ ...asking, ...named(alpn), requestCert: true, rejectUnauthorized: false })
        .once('tlsClientError', failed)
        .once('secureConnection', (socket) => {
          plain.off('close', closed)
          resolve({ socket, facts: factsOf(socket) })
        })
        .emit('connection', plain)
    })
}

function named(alpn: readonly string[]): { ALPNProtocols?: string[] } {
  return alpn.length > 0 ? { ALPNProtocols: [...alpn] } : {}
}

export function targetUpgrade({ mode, host, shown }: TargetTls): Upgrade {
  return (plain, alpn) => {
    const socket = connect({
      socket: plain,
      host,
      // A name only: an address is no server name, and is judged by the certificate all the same.
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      ...shown,
      ...named(alpn),
      rejectUnauthorized: mode !== 'require',
      ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    })
    return handshake(socket, 'secureConnect', plain)
  }
}

function handshake(
  socket: TLSSocket,
  done: 'secure' | 'secureConnect',
  plain: Socket,
): Promise<{ socket: TLSSocket; facts: TlsFacts }> {
  return new Promise((resolve, reject) => {
    const failed = (error?: Error): void => {
      socket.destroy()
      plain.destroy()
      const seen = error?.message ?? 'the connection was closed'
      reject(new HangUpError(`TLS handshake: ${seen}`, { cause: error }))
    }
    const closed = (): void => failed()
    socket.once('error', failed).once('close', closed)
    socket.once(done, () => {
      socket.off('error', failed).off('close', closed)
      resolve({ socket, facts: factsOf(socket) })
    })
  })
}

function factsOf(socket: TLSSocket): TlsFacts {
  const own = socket.getCertificate()
  const peer = socket.getPeerCertificate()
  return {
    protocol: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : undefined,
    ownCertificate: own !== null && 'raw' in own ? own.raw : undefined,
    peerCertificate: socket.authorized && 'raw' in peer ? peer.raw : undefined,
  }
}
