/**
 * How often one name may fail from one address. By both together, so that a stranger elsewhere cannot lock
 * anybody out. Whoever asks answers a locked name like a wrong password, and lets tokens pass: they are random,
 * and guessing does not help.
 */
import type { Clock } from '../system/clock.ts'

export interface LockoutRules {
  readonly failures: number
  /** Milliseconds, as the configuration has them. */
  readonly window: number
  readonly for: number
}

/** Beyond these, memory is not taken; what happens instead is said where they are used. */
export const LOCKOUT_ADDRESSES_MAX = 4096
export const LOCKOUT_NAMES_MAX = 64
const NAME_KEPT_MAX = 128

interface Count {
  failures: number
  /** Failures before this are forgotten; while locked, the lock's end. */
  until: number
  locked: boolean
}

/** No client can send an empty name that is anybody's, so it stands for "all further names of this address". */
const OTHERS = ''

export class Lockout {
  readonly #clock: Clock
  readonly #addresses = new Map<string, Map<string, Count>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  isLocked(name: string, address: string): boolean {
    const count = this.#find(name, address)
    return count?.locked === true && count.until > this.#clock.steady()
  }

  /** While locked, failures neither count nor prolong the lock. */
  failed(name: string, address: string, rules: LockoutRules): void {
    const now = this.#clock.steady()
    const count = this.#find(name, address) ?? this.#enter(name, address)
    if (count.until <= now) {
      count.failures = 0
      count.locked = false
      count.until = now + rules.window
    }
    if (count.locked) return
    count.failures++
    if (count.failures < rules.failures) return
    count.locked = true
    count.until = now + rules.for
  }

  /** A proof that held ends the count, as it does the doubt. */
  succeeded(name: string, address: string): void {
    const key = networkOf(address)
    const names = this.#addresses.get(key)
    names?.delete(keyOf(name))
    if (names?.size === 0) this.#addresses.delete(key)
  }

  /** How many counts are kept: what the limits bound. */
  get size(): number {
    return [...this.#addresses.values()].reduce((sum, names) => sum + names.size, 0)
  }

  #find(name: string, address: string): Count | undefined {
    const names = this.#addresses.get(networkOf(address))
    return names?.get(keyOf(name)) ?? (names !== undefined && isFull(names) ? names.get(OTHERS) : undefined)
  }

  /**
   * An address that fails with very many names shares one count for all further ones: it locks out itself, never
   * the names it has already failed with. When there are too many addresses, the one that has been quiet longest
   * is forgotten; whoever commands that many is not held by any count of addresses.
   */
  #enter(name: string, address: string): Count {
    const key = networkOf(address)
    const names = this.#addresses.get(key) ?? new Map<string, Count>()
    this.#addresses.delete(key)
    this.#addresses.set(key, names)
    const [quietest] = this.#addresses.keys()
    if (this.#addresses.size > LOCKOUT_ADDRESSES_MAX && quietest !== undefined)
      this.#addresses.delete(quietest)

    if (isFull(names)) this.#sweep(names)
    const count = { failures: 0, until: 0, locked: false }
    names.set(isFull(names) ? OTHERS : keyOf(name), count)
    return count
  }

  #sweep(names: Map<string, Count>): void {
    const now = this.#clock.steady()
    for (const [name, { until }] of names) if (until <= now) names.delete(name)
  }
}

function isFull(names: ReadonlyMap<string, Count>): boolean {
  return names.size >= LOCKOUT_NAMES_MAX
}

function keyOf(name: string): string {
  return name.slice(0, NAME_KEPT_MAX)
}

/** A household or a host has a whole /64 of IPv6, so that is what counts as one address. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address
  const [head = '', tail] = address.split('::')
  const left = head.split(':').filter((group) => group !== '')
  const right = (tail ?? '').split(':').filter((group) => group !== '')
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  const groups = [...left, ...zeros, ...right].slice(0, 4)
  return groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')
}
