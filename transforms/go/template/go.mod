module relay-template

go 1.24

require relay v0.0.0

replace relay => ./sdk
