/** A map that forgets what was set longest ago. */
export class Remembered<V> {
  readonly #map = new Map<string, V>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  get(key: string): V | undefined {
    return this.#map.get(key)
  }

  set(key: string, value: V): void {
    this.#map.set(key, value)
    if (this.#map.size <= this.#max) return
    const [oldest] = this.#map.keys()
    if (oldest !== undefined) this.#map.delete(oldest)
  }

  delete(key: string): void {
    this.#map.delete(key)
  }

  clear(): void {
    this.#map.clear()
  }
}

/** The same for payloads, by session and index; it forgets what a session's payloads say all at once. */
export class RememberedPayloads<V> {
  readonly #sessions = new Map<string, Map<number, V>>()
  readonly #max: number
  #size = 0

  constructor(max: number) {
    this.#max = max
  }

  get(sid: string, i: number): V | undefined {
    return this.#sessions.get(sid)?.get(i)
  }

  set(sid: string, i: number, value: V): void {
    let payloads = this.#sessions.get(sid)
    if (payloads === undefined) {
      payloads = new Map()
      this.#sessions.set(sid, payloads)
    }
    if (!payloads.has(i)) this.#size++
    payloads.set(i, value)
    if (this.#size <= this.#max) return
    const [oldest] = this.#sessions
    if (oldest === undefined) return
    this.#sessions.delete(oldest[0])
    this.#size -= oldest[1].size
  }

  clear(): void {
    this.#sessions.clear()
    this.#size = 0
  }
}
