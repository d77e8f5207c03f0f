//go:build !wasip1

package relay

func hostLog(uint8, string) {}
