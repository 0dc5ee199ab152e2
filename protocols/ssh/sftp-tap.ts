/**
 * SFTP in the way of its packets: each request is recorded before the host has it, each status waits for its
 * record. What is not SFTP ends the connection, for nothing else may pass under that name.
 */
import { ProtocolError } from '../bytes.ts'
import type { OutcomeFacts } from '../events.ts'
import type { Stream } from './channel.ts'
import type { Operations } from './operations.ts'
import { SftpFrames } from './sftp.ts'
import { SftpOperations } from './sftp-operations.ts'
import type { Tap, TapPorts } from './tap.ts'

export class SftpTap implements Tap {
  readonly #ports: TapPorts
  readonly #operations: SftpOperations
  readonly #requests = new SftpFrames()
  readonly #responses = new SftpFrames()

  constructor(ports: TapPorts) {
    this.#ports = ports
    this.#operations = new SftpOperations(ports.operations, ports.op)
  }

  fromPerson(bytes: Uint8Array): void {
    for (const packet of this.#requests.push(bytes)) {
      this.#operations.request(packet)
      this.#ports.toHost(packet)
    }
  }

  fromHost(stream: Stream, bytes: Uint8Array): void {
    if (stream === 'stderr') {
      this.#ports.toPerson(stream, bytes)
      return
    }
    for (const packet of this.#responses.push(bytes)) {
      if (this.#operations.response(packet)) this.#ports.hold()
      this.#ports.toPerson(stream, packet)
    }
  }

  /** There is no terminal to be resized, and none to look at. */
  resize(): void {}

  tick(): undefined {
    return undefined
  }

  facts(): Pick<OutcomeFacts, 'bytes'> {
    this.#operations.abort()
    return { bytes: this.#operations.bytes }
  }
}

/** SFTP's INIT, as far as it is always the same: a packet of five bytes of type 1. */
const INIT_HEAD = [0, 0, 0, 5, 1]

/**
 * SFTP that runs as a program of its own (`sftp -s /path`): read along for its operations, while the streams
 * are recorded as any program's are. Another program may begin alike, so nothing depends on understanding it.
 */
export class SftpWatch {
  readonly #operations: SftpOperations
  readonly #requests = new SftpFrames()
  readonly #responses = new SftpFrames()
  #understood = true

  constructor(operations: Operations, op: number) {
    this.#operations = new SftpOperations(operations, op)
  }

  static begins(bytes: Uint8Array): boolean {
    return INIT_HEAD.every((byte, i) => bytes[i] === byte)
  }

  /** Told before the bytes are passed on. */
  fromPerson(bytes: Uint8Array): void {
    this.#attempt(() => {
      for (const packet of this.#requests.push(bytes)) this.#operations.request(packet)
    })
  }

  /** Whether an outcome is told in these bytes. */
  fromHost(bytes: Uint8Array): boolean {
    let outcome = false
    this.#attempt(() => {
      for (const packet of this.#responses.push(bytes)) outcome = this.#operations.response(packet) || outcome
    })
    return outcome
  }

  end(): void {
    this.#operations.abort()
  }

  #attempt(work: () => void): void {
    if (!this.#understood) return
    try {
      work()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#understood = false
      this.#operations.abort()
    }
  }
}
