package nostr

import "fmt"

// CheckPeriod says that no event can match, because Since is after Until.
func (f *Filter) CheckPeriod() error {
	if f.Until != 0 && f.Since > max(f.Until, 0) {
		return fmt.Errorf("since: %d is after until, %d, so that no event can match", f.Since, max(f.Until, 0))
	}
	return nil
}

// CheckKind says that a number is no kind of NIP-01.
func CheckKind(kind int) error {
	if kind < 0 || kind > 65535 {
		return fmt.Errorf("%d is not in 0..65535", kind)
	}
	return nil
}

// CheckTimestamp says that a time, in Unix seconds, is one that no event is of: most
// are given in milliseconds.
func CheckTimestamp(at int64) error {
	const year10000 = 253402300800
	if at >= year10000 {
		return fmt.Errorf("%d is after the year 9999: want seconds, not milliseconds", at)
	}
	return nil
}
