/** A command's end of the control socket. */
import { request } from 'node:http'
import { OperatorError } from '../system/operator-error.ts'

const ANSWER_BYTES_MAX = 64 << 20

/** No gateway listens there: what can be done without one may be. */
export class NoGatewayError extends Error {
  override readonly name = 'NoGatewayError'
}

export interface Gateway {
  readonly socket: string
  readonly token?: string
}

/** Sends one command. What the gateway refuses comes back as an OperatorError with the gateway's words. */
export function call(gateway: Gateway, command: string, given: unknown): Promise<unknown> {
  const body = JSON.stringify(given)
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(gateway.token === undefined ? {} : { authorization: `Bearer ${gateway.token}` }),
    }
    const sent = request(
      { socketPath: gateway.socket, path: `/v1/${command}`, method: 'POST', headers, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        let length = 0
        response.on('data', (chunk: Buffer) => {
          length += chunk.length
          if (length > ANSWER_BYTES_MAX) response.destroy(new Error('the answer is too long'))
          chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => {
          const answer = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
            result?: unknown
            error?: string
          }
          if (answer.error === undefined) resolve(answer.result)
          else reject(new OperatorError('usage', answer.error))
        })
      },
    )
    sent.on('error', (error: NodeJS.ErrnoException) => {
      const nobody = error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
      reject(nobody ? new NoGatewayError(`no gateway answers on ${gateway.socket}`, { cause: error }) : error)
    })
    sent.end(body)
  })
}
