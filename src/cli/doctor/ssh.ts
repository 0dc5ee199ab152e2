/** What is wrong with an SSH target, by logging in as the gateway does. */
import { connect, type Socket } from 'node:net'
import { HostError, openHost } from '../../../protocols/ssh/index.ts'
import { type Hosts, hopsTo } from '../../access/hosts.ts'
import type { Config } from '../../config/schema.ts'
import { wordsOf } from '../../system/operator-error.ts'
import type { Finding } from './finding.ts'

const CONNECT_MS_MAX = 10_000

export async function examineSsh(name: string, config: Config, hosts: Hosts): Promise<Finding[]> {
  const hops = hopsTo(name, config, hosts)
  const [first] = hops
  const last = hops.at(-1)
  if (first === undefined || last === undefined) return [{ good: false, text: 'no way leads there' }]
  if (last.options.pins.length === 0) {
    return [{ good: false, text: `no key of this host is pinned: gatebook pin ${name}` }]
  }
  const { user } = last.options
  const socket = connect(first.address)
  try {
    await connected(socket)
    const host = await openHost(socket, hops, ignore, ignore)
    host.end()
    const way = hops.length === 1 ? '' : `, through ${hops.length - 1} other`
    return [{ good: true, text: `reached as ${user}${way}; its key is the pinned one` }]
  } catch (error) {
    const isKey = error instanceof HostError && error.code === 'host-key'
    const next = isKey ? ' (is it the host that is meant? then: gatebook pin)' : ''
    return [{ good: false, text: `cannot log in as ${user}: ${wordsOf(error)}${next}` }]
  } finally {
    socket.destroy()
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.setTimeout(CONNECT_MS_MAX, () => socket.destroy(new Error('no answer')))
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.setTimeout(0)
      resolve()
    })
  })
}

function ignore(): void {}
