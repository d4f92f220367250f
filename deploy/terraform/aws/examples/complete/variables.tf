variable "region" {
  description = "The region of everything."
  type        = string
  default     = "eu-central-1"
}

variable "vpc_id" {
  description = "A VPC with private subnets."
  type        = string
  default     = "vpc-0123456789abcdef0"
}

variable "subnet_ids" {
  description = "A private subnet for each availability zone."
  type        = map(string)
  default = {
    eu-central-1a = "subnet-0123456789abcdef0"
    eu-central-1b = "subnet-0123456789abcdef1"
  }
}

variable "ami_id" {
  description = "An image with outlast, amazon-efs-utils and the AWS CLI."
  type        = string
  default     = "ami-0123456789abcdef0"
}

variable "parameters" {
  description = "The account's SSM parameters, where the tokens are."
  type        = string
  default     = "arn:aws:ssm:eu-central-1:123456789012:parameter"
}
