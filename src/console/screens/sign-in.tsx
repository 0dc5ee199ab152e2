import type { JSX, TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { type ProblemFacts, signIn } from '../client.ts'
import { ProblemNote, problemFacts } from '../parts/load.tsx'

export function SignInScreen(): JSX.Element {
  const first = useRef<HTMLInputElement>(null)
  // There is nothing else to do here.
  useEffect(() => first.current?.focus(), [])
  const code = useRef<HTMLInputElement>(null)
  const [codeNeeded, setCodeNeeded] = useState(false)
  useEffect(() => code.current?.focus(), [codeNeeded])
  const [problem, setProblem] = useState<ProblemFacts>()
  const [busy, setBusy] = useState(false)
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    // What stands in the fields, not what was drawn last: somebody may type faster than we draw.
    const fields = new FormData(event.currentTarget)
    const [user, password] = [String(fields.get('username')), String(fields.get('password'))]
    const given = String(fields.get('code') ?? '').trim()
    setBusy(true)
    setProblem(undefined)
    signIn(user.trim(), password, given)
      .catch((error: unknown) => {
        const facts = problemFacts(error)
        if (facts.code === 'code-needed') setCodeNeeded(true)
        setProblem(facts)
      })
      .finally(() => setBusy(false))
  }
  return (
    <main class="sign-in">
      <form onSubmit={submit} aria-labelledby="sign-in-title">
        <h1 id="sign-in-title">
          <span class="mark" aria-hidden="true" /> Gatebook
        </h1>
        <p class="quiet">Who ran what, where and when. What you look at here is recorded too.</p>
        <label>
          User
          <input name="username" autocomplete="username" required ref={first} />
        </label>
        <label>
          Password or personal token
          <input type="password" name="password" autocomplete="current-password" required />
        </label>
        {codeNeeded && (
          <label>
            One-time code
            <input name="code" inputmode="numeric" autocomplete="one-time-code" required ref={code} />
          </label>
        )}
        <button type="submit" class="primary" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        {problem !== undefined && <ProblemNote facts={problem} />}
      </form>
    </main>
  )
}
