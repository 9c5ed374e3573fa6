/** What stands where no page is. */

import { Link } from '@tanstack/react-router'

import { Empty } from './Panel'

export function NotFound() {
  return (
    <Empty
      title="There is no page at this address"
      action={<Link to="/">Go to the overview</Link>}
    >
      The address may be mistyped, or the thing it named is gone.
    </Empty>
  )
}
