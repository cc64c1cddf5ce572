module balance

go 1.19
