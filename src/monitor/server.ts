/** `/healthz` (the process answers), `/readyz` (it takes new sessions) and `/metrics`, for machines on this network. */
import { createServer, type Server } from 'node:http'
import { CONTENT_TYPE, type Metric, renderMetrics } from './metrics.ts'

const REQUEST_MS_MAX = 5000
const CONNECTIONS_MAX = 64

export interface MonitorParts {
  /** Why no new sessions are taken; undefined: they are. */
  readonly notReady: () => string | undefined
  readonly metrics: () => Promise<readonly Metric[]>
  readonly onFault: (error: unknown) => void
}

export class MonitorServer {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static open(
    address: { readonly host: string; readonly port: number },
    parts: MonitorParts,
  ): Promise<MonitorServer> {
    const server = createServer(
      { requestTimeout: REQUEST_MS_MAX, maxHeaderSize: 8192 },
      (request, response) => {
        const answer = (status: number, type: string, body: string): void => {
          response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
        }
        const text = 'text/plain; charset=utf-8'
        const path = request.url?.split('?')[0]
        if (request.method !== 'GET') answer(405, text, 'only GET\n')
        else if (path === '/healthz') answer(200, text, 'ok\n')
        else if (path === '/readyz') {
          const reason = parts.notReady()
          answer(reason === undefined ? 200 : 503, text, `${reason ?? 'ready'}\n`)
        } else if (path === '/metrics') {
          parts.metrics().then(
            (metrics) => answer(200, CONTENT_TYPE, renderMetrics(metrics)),
            (error: unknown) => {
              parts.onFault(error)
              answer(500, text, 'the figures could not be read\n')
            },
          )
        } else answer(404, text, 'healthz, readyz or metrics\n')
      },
    )
    server.maxConnections = CONNECTIONS_MAX
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(address, () => {
        server.off('error', reject).on('error', parts.onFault)
        resolve(new MonitorServer(server))
      })
    })
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
