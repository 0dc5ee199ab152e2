/** Finding the running gateway that a command speaks to: by its data directory or its configuration. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { call, type Gateway } from '../control/client.ts'
import { OperatorError } from '../system/operator-error.ts'
import { configOrFail } from './io.ts'

/** The options that every administrative command takes. */
export interface GatewayOptions {
  readonly data?: string
  readonly config?: string
  readonly tokenFile?: string
  /** The console's address, for a gateway on another machine; remote.ts speaks to it. */
  readonly gateway?: string
  /** A file with the certificates to verify it by, instead of the system's. */
  readonly ca?: string
}

/** Where `gatebook serve` looks when it is told nothing. */
export const DEFAULT_CONFIG = 'config.yaml'

export async function findGateway(options: GatewayOptions): Promise<Gateway> {
  const socket = await socketOf(options)
  if (options.tokenFile === undefined) return { socket }
  return { socket, token: readFileSync(options.tokenFile, 'utf8').trim() }
}

async function socketOf({ data, config }: GatewayOptions): Promise<string> {
  if (data !== undefined) return join(resolve(data), 'control', 'socket')
  const { config: read } = await configOrFail(config ?? DEFAULT_CONFIG)
  return read.gateway.control.socket
}

/** Asks the gateway; the answer's form is the command's, which is part of the same release. */
export async function ask<Answer>(options: GatewayOptions, command: string, given: unknown): Promise<Answer> {
  return (await call(await findGateway(options), command, given)) as Answer
}

/** The data directory that a command works on, with or without a gateway. */
export async function dataOf({ data, config }: GatewayOptions): Promise<string> {
  if (data !== undefined) return resolve(data)
  if (config === undefined) throw new OperatorError('usage', 'say which book: --data DIR or --config FILE')
  return (await configOrFail(config)).config.gateway.data_dir
}
