import { useMemo } from 'react'
import { Button, ComboBox, Input, Label, ListBox, ListBoxItem, Popover, useFilter } from 'react-aria-components'
import { Icon } from './icon'
import './combo.css'

/** Option is one to choose; `hint` stands beside it, `also` is found by the search as well. */
export type Option = { key: string; text: string; hint?: string; also?: string }

type Props = {
  label: string
  options: Option[]
  value: string
  /** What an emptied field means. */
  none: string
  onChange: (key: string) => void
}

/** Combo chooses one of many by typing a part of it. */
export function Combo({ label, options, value, none, onChange }: Props) {
  const { contains } = useFilter({ sensitivity: 'base' })
  const shown = useMemo(
    () => options.map((option) => ({ ...option, id: option.key, all: `${option.text} ${option.also ?? ''}` })),
    [options],
  )
  // The filter is given the text alone; what is found as well is looked up by it.
  const also = useMemo(() => new Map(shown.map((option) => [option.text, option.all])), [shown])
  return (
    <ComboBox
      className="combo field"
      defaultItems={shown}
      defaultFilter={(text, typed) => contains(also.get(text) ?? text, typed)}
      selectedKey={value}
      onSelectionChange={(key) => onChange(key === null ? none : String(key))}
      menuTrigger="focus"
    >
      <Label>{label}</Label>
      <div className="combo-field">
        <Input className="input" dir="auto" onFocus={(event) => event.target.select()} />
        <Button className="button button-icon">
          <Icon name="down" />
        </Button>
      </div>
      <Popover className="combo-popover" offset={4}>
        <ListBox className="combo-list" items={shown} renderEmptyState={() => <p className="combo-none soft">Nothing found</p>}>
          {(option) => (
            <ListBoxItem className="combo-option" id={option.key} textValue={option.text}>
              <bdi className="combo-text">{option.text}</bdi>
              {option.hint ? <span className="combo-hint figure soft">{option.hint}</span> : null}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </ComboBox>
  )
}
