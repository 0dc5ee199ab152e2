import { join } from 'node:path'
import type { TestGateway } from './gateway.ts'
import { type Outcome, type RunOptions, run } from './ssh-clients.ts'
import { gatewayOptions } from './ssh-gateway.ts'
import type { Sshd } from './ssh-sshd.ts'

let count = 0

/** A connection of OpenSSH's through the gateway that several programs share; it stands until it is ended. */
export class SharedConnection {
  /** What makes ssh or scp use it, whatever host they name. */
  readonly flags: readonly string[]

  private constructor(control: string) {
    this.flags = ['-F', 'none', '-o', `ControlPath=${control}`]
  }

  static async open(sshd: Sshd, gateway: TestGateway, login = 'alice'): Promise<SharedConnection> {
    const control = join(sshd.folder, `control-${++count}`)
    const master = ['-M', '-N', '-f', '-S', control, '-o', 'ControlPersist=yes']
    const opened = await run('ssh', [...master, ...gatewayOptions(sshd, gateway), `${login}@127.0.0.1`])
    if (opened.code !== 0) throw new Error(opened.err)
    return new SharedConnection(control)
  }

  run(command: string, options: RunOptions = {}): Promise<Outcome> {
    return run('ssh', [...this.flags, 'gateway', command], options)
  }

  async end(): Promise<void> {
    await run('ssh', [...this.flags, '-O', 'exit', 'gateway'])
  }
}
