/** A program without a terminal, with all three of its streams. */
import { createHash } from 'node:crypto'
import type { OutcomeFacts } from '../events.ts'
import type { Stream } from './channel.ts'
import { type Json, meta } from './payloads.ts'
import { ScpWatch } from './scp.ts'
import { SftpWatch } from './sftp-tap.ts'
import type { Tap, TapPorts } from './tap.ts'

/** Of what a program reads; beyond this it is counted and hashed. */
const STDIN_KEPT_MAX = 1024 * 1024

export interface PlainTapOptions {
  readonly command: Uint8Array
  readonly stdin: 'keep' | 'hash'
  readonly output: boolean
}

/**
 * Its standard input is recorded as well: `ssh host bash` takes its commands there,
 * and nothing is echoed to derive them from.
 */
export class PlainTap implements Tap {
  readonly #ports: TapPorts
  readonly #options: PlainTapOptions
  readonly #scp: ScpWatch | undefined
  readonly #hash = createHash('sha256')
  #sftp: SftpWatch | undefined
  #stdinBytes = 0
  #outputBytes = 0

  constructor(ports: TapPorts, options: PlainTapOptions) {
    this.#ports = ports
    this.#options = options
    this.#scp = ScpWatch.of(options.command)
  }

  fromPerson(bytes: Uint8Array): void {
    const room = this.#options.stdin === 'keep' ? STDIN_KEPT_MAX - this.#stdinBytes : 0
    if (this.#stdinBytes === 0 && SftpWatch.begins(bytes)) {
      this.#sftp = new SftpWatch(this.#ports.operations, this.#ports.op)
    }
    this.#stdinBytes += bytes.length
    this.#hash.update(bytes)
    this.#scp?.fromPerson(bytes)
    this.#sftp?.fromPerson(bytes)
    if (room > 0) this.#record('in', 'i', bytes.subarray(0, room))
    this.#ports.toHost(bytes)
  }

  fromHost(stream: Stream, bytes: Uint8Array): void {
    this.#outputBytes += bytes.length
    if (stream === 'output') {
      this.#scp?.fromHost(bytes)
      if (this.#sftp?.fromHost(bytes)) this.#ports.hold()
    }
    if (this.#options.output) this.#record('out', stream === 'output' ? 'o' : 'e', bytes)
    this.#ports.toPerson(stream, bytes)
  }

  /** Without a terminal there is no size. */
  resize(): void {}

  tick(): undefined {
    return undefined
  }

  facts(): Pick<OutcomeFacts, 'bytes' | 'payloads'> {
    this.#sftp?.end()
    const facts: Record<string, Json> = {}
    if (this.#stdinBytes > 0) {
      facts['stdin'] = { bytes: this.#stdinBytes, sha256: this.#hash.digest('hex') }
    }
    const files = this.#scp?.files() ?? []
    if (files.length > 0) facts['files'] = files
    const payloads = Object.keys(facts).length > 0 ? [meta(facts)] : []
    return { bytes: this.#outputBytes, payloads }
  }

  #record(stream: 'in' | 'out', frame: 'i' | 'o' | 'e', bytes: Uint8Array): void {
    this.#ports.operations.data({ op: this.#ports.op, stream, frame, bytes })
  }
}
