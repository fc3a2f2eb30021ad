import { type CalendarDate, fromAbsolute, parseDate, toCalendarDate } from '@internationalized/date'
import { useEffect, useRef, useState } from 'react'
import {
  Button,
  CalendarCell,
  CalendarGrid,
  CalendarGridBody,
  CalendarGridHeader,
  CalendarHeaderCell,
  DateInput,
  DateRangePicker,
  DateSegment,
  Dialog,
  Group,
  Heading,
  Popover,
  RangeCalendar,
} from 'react-aria-components'
import { Icon } from '../icon'
import { begin } from './presets'
import { weekdayShort } from './week'
import './daterange.css'

type Props = {
  /** RFC 3339, [from, to). */
  from: string
  to: string
  zone: string
  /** As the workspace says: `monday`. */
  weekStart: string
  onChange: (from: string, to: string) => void
}

type Days = { start: CalendarDate; end: CalendarDate }

/** first and last are the days for which there can be events (DESIGN section 3). */
const first = parseDate('2000-01-01')
const last = parseDate('2099-12-31')

/**
 * DateRange chooses local days of a zone, by typing or in a calendar. The last day is in the range; what is sent
 * is the instant at which it ends. A range is taken when the calendar has both days, or the fields are left.
 */
export default function DateRange({ from, to, zone, weekStart, onChange }: Props) {
  const shown = daysOf(from, to, zone)
  const text = `${shown.start} ${shown.end}`
  const [draft, setDraft] = useState<Days | null>(shown)
  // The calendar closes in the turn in which it has both days, before they are drawn.
  const newest = useRef(draft)
  const write = (days: Days | null) => {
    newest.current = days
    setDraft(days)
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text is the days
  useEffect(() => write(shown), [text])
  const take = () => {
    const days = newest.current
    if (!days || days.start.compare(days.end) > 0 || days.start.compare(first) < 0 || days.end.compare(last) > 0) return
    if (`${days.start} ${days.end}` === text) return
    onChange(begin(days.start, zone), begin(days.end.add({ days: 1 }), zone))
  }
  return (
    <DateRangePicker
      className="daterange"
      aria-label="Range of days"
      value={draft}
      minValue={first}
      maxValue={last}
      firstDayOfWeek={weekdayShort(weekStart)}
      onChange={write}
      onBlur={take}
      onOpenChange={(open) => !open && take()}
      shouldForceLeadingZeros={false}
    >
      <Group className="daterange-field" onKeyDown={(event) => event.key === 'Enter' && take()}>
        <DateInput slot="start">{(segment) => <DateSegment className="daterange-part" segment={segment} />}</DateInput>
        <span aria-hidden="true">to</span>
        <DateInput slot="end">{(segment) => <DateSegment className="daterange-part" segment={segment} />}</DateInput>
        <Button className="button button-icon" aria-label="Calendar">
          <Icon name="calendar" />
        </Button>
      </Group>
      <Popover className="daterange-popover" placement="bottom end" offset={6}>
        <Dialog aria-label="Range of days">
          <RangeCalendar>
            <header className="daterange-head">
              <Button slot="previous" className="button button-icon">
                <Icon name="left" />
              </Button>
              <Heading />
              <Button slot="next" className="button button-icon">
                <Icon name="right" />
              </Button>
            </header>
            <CalendarGrid>
              <CalendarGridHeader>
                {(name) => <CalendarHeaderCell className="soft small">{name}</CalendarHeaderCell>}
              </CalendarGridHeader>
              <CalendarGridBody>{(date) => <CalendarCell className="daterange-day" date={date} />}</CalendarGridBody>
            </CalendarGrid>
          </RangeCalendar>
        </Dialog>
      </Popover>
    </DateRangePicker>
  )
}

/** daysOf are the local days that a range touches. */
function daysOf(from: string, to: string, zone: string): Days {
  const day = (at: number) => toCalendarDate(fromAbsolute(at, zone))
  const start = day(Date.parse(from))
  const end = day(Date.parse(to) - 1)
  return { start, end: end.compare(start) < 0 ? start : end }
}
