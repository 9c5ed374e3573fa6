/** Says something to whoever reads this next. */

import { Button, Textarea } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { useIncidentAct } from '../../api/commands'
import { Failure } from '../../ui/Failure'
import css from './Incidents.module.css'

export function CommentForm({ id }: { id: number }) {
  const [text, setText] = useState('')
  const act = useIncidentAct()
  const submit = (event: FormEvent) => {
    event.preventDefault()
    act.mutate(
      { id, act: 'comment', text: text.trim() },
      {
        onSuccess: () => {
          setText('')
        },
      },
    )
  }
  return (
    <form className={css.comment} onSubmit={submit}>
      <Textarea
        aria-label="Comment"
        placeholder="What you found, what you do next"
        autosize
        minRows={2}
        maxRows={12}
        maxLength={4000}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value)
        }}
      />
      <Failure error={act.error} />
      <Button
        type="submit"
        size="sm"
        variant="default"
        disabled={text.trim() === ''}
        loading={act.isPending}
      >
        Comment
      </Button>
    </form>
  )
}
