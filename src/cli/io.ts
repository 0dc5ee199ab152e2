/** Where a command writes: data to `stdout`, talk to `stderr`. */
export interface Io {
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
}
