package relay

import (
	"fmt"
	"strings"
)

// Levels of log lines, as the contract numbers them.
const (
	levelTrace uint8 = iota
	levelDebug
	levelInfo
	levelWarn
	levelError
)

// Tracef writes one line to the host's log, as Debugf, Infof, Warnf and Errorf
// do on their levels. The host adds the event being processed and limits rate
// and length. Natively the lines go nowhere.
func Tracef(format string, args ...any) { log(levelTrace, format, args) }

// Debugf writes one line; see [Tracef].
func Debugf(format string, args ...any) { log(levelDebug, format, args) }

// Infof writes one line; see [Tracef].
func Infof(format string, args ...any) { log(levelInfo, format, args) }

// Warnf writes one line; see [Tracef].
func Warnf(format string, args ...any) { log(levelWarn, format, args) }

// Errorf writes one line; see [Tracef].
func Errorf(format string, args ...any) { log(levelError, format, args) }

func log(level uint8, format string, args []any) {
	hostLog(level, strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD"))
}
