module recurrent

go 1.19
