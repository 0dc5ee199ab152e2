/** Times as commands show them. */

/** `2026-11-20 18:01:40`, UTC. */
export function stamp(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ')
}

export function ago(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 120) return `${s} s`
  if (s < 7200) return `${Math.floor(s / 60)} min`
  return `${Math.floor(s / 3600)} h`
}

/** `3.1 ms`, `2.4 s`, `41 m 02 s` */
export function took(micros: number): string {
  if (micros < 1e6) return `${(micros / 1000).toFixed(micros < 10_000 ? 1 : 0)} ms`
  if (micros < 60e6) return `${(micros / 1e6).toFixed(1)} s`
  const seconds = Math.floor(micros / 1e6)
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`
}
