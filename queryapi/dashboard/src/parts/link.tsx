import type { AnchorHTMLAttributes, MouseEvent } from 'react'
import { leading, navigate, usePlace } from '../router'

type Props = AnchorHTMLAttributes<HTMLAnchorElement> & { href: string; replace?: boolean }

/**
 * Link goes to a path of the page without loading it anew, in the zone and the range that are looked at; other clicks
 * are the browser's.
 */
export function Link({ href, replace = false, onClick, ...rest }: Props) {
  const to = leading(usePlace(), href)
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event)
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
    if (event.defaultPrevented || !plain || rest.target) return
    event.preventDefault()
    navigate(to, { replace })
  }
  return <a {...rest} href={to} onClick={follow} />
}
