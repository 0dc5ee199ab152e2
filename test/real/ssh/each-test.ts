import { afterEach } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import { type SshGatewayOptions, startSshGateway } from '../../support/ssh-gateway.ts'
import type { Sshd } from '../../support/ssh-sshd.ts'

/** Opens gateways before that host, each for one test, so that it is known whose records are whose; they end with it. */
export function gatewaysOfEachTest(
  sshd: () => Sshd,
  always: SshGatewayOptions = {},
): (options?: SshGatewayOptions) => Promise<TestGateway> {
  const gateways: TestGateway[] = []
  afterEach(async () => {
    for (const gateway of gateways.splice(0)) await gateway[Symbol.asyncDispose]()
  })
  return async (options = {}) => {
    const gateway = await startSshGateway(sshd(), { ...always, ...options })
    gateways.push(gateway)
    return gateway
  }
}
