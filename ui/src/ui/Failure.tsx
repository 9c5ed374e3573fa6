/** What went wrong, in the server's words, with the number that finds it in the log. */

import { Button } from '@mantine/core'
import type { ErrorComponentProps } from '@tanstack/react-router'
import { useQueryErrorResetBoundary } from '@tanstack/react-query'

import { Problem } from '../api/client'
import css from './Failure.module.css'
import { Icon } from './Icon'
import { Words } from './Words'

export function Failure({ error }: { error: Error | null }) {
  if (error === null) return null
  const requestId = error instanceof Problem ? error.requestId : null
  return (
    <div role="alert" className={css.failure}>
      <Icon name="warning" />
      <span>
        <Words text={error.message} />
        {requestId !== null && <small className={css.request}> request {requestId}</small>}
      </span>
    </div>
  )
}

export function PageFailure({ error, reset }: ErrorComponentProps) {
  const boundary = useQueryErrorResetBoundary()
  const isGone = error instanceof Problem && error.status === 404
  return (
    <div className={css.page}>
      <h1>{isGone ? 'Not here' : 'This page cannot be shown'}</h1>
      <Failure error={error instanceof Error ? error : new Error(String(error))} />
      <Button
        size="sm"
        onClick={() => {
          boundary.reset()
          reset()
        }}
      >
        Try again
      </Button>
    </div>
  )
}
